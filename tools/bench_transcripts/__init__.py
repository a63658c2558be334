"""Whether the record of a meeting is whole after all that can happen to it, and how soon it is."""
