"""How far what was understood is from what was said."""

import jiwer


def word_error_rate(said: str, understood: str) -> float:
    """Nothing understood counts as everything wrong."""
    return float(jiwer.wer(said, understood)) if understood else 1.0
