"""One engine tried with a clip of speech whose words are known: what "Test this key" runs."""

from agents.stt.trial.trial import try_engine

__all__ = ["try_engine"]
