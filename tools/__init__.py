"""What the Makefile runs, from the project's root."""
