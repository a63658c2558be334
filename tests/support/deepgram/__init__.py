"""The parts of the scripted engine of `tests.support.scripted_deepgram`."""
