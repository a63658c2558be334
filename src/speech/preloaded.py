"""The recogniser that every decoder process inherits: loaded once, before they are forked, so its pages are shared."""

from speech.engines.interface import Recogniser
from speech.engines.pocketsphinx import PocketsphinxRecogniser

RECOGNISER: Recogniser = PocketsphinxRecogniser()
