"""Names on the realtime wire."""

from typing import Literal

ServerEvent = Literal["session.created", "transcription.delta", "transcription.done", "error"]

CODE_CAPACITY = "capacity"
"""Our speech server's: no room for another session."""
REFUSAL_CODES = frozenset({"model_not_found", "model_not_validated"})
"""Trying the same again cannot help."""
