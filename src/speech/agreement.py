"""LocalAgreement: of a growing hypothesis, give out only what two in a row agree on (arXiv 2307.14743)."""

from collections.abc import Sequence

from speech.engines.interface import Word

SAME_END_S = 0.04
"""A word that two hypotheses end further apart than this is still being spoken."""


class LocalAgreement:
    """Turns hypotheses that change their mind into text that is never taken back. Pure.

    What was given out is known by where it ends in the audio, not by its words: when the recogniser thinks
    better of an earlier word, the text still goes on after it.
    """

    def __init__(self) -> None:
        self.text = ""
        self._given_out_until_s = 0.0
        self._previous: list[Word] = []

    def hear(self, hypothesis: Sequence[Word]) -> str:
        """The text to append, which is often empty."""
        fresh = self._after_what_was_given_out(hypothesis)
        agreed = _agreed(self._previous, fresh)
        self._previous = fresh[agreed:]
        return self._give_out(fresh[:agreed])

    def conclude(self, result: Sequence[Word]) -> str:
        """The rest of the final result."""
        self._previous = []
        return self._give_out(self._after_what_was_given_out(result))

    def _after_what_was_given_out(self, words: Sequence[Word]) -> list[Word]:
        return [word for word in words if (word.start_s + word.end_s) / 2 > self._given_out_until_s]

    def _give_out(self, words: Sequence[Word]) -> str:
        if not words:
            return ""
        delta = (" " if self.text else "") + " ".join(word.text for word in words)
        self.text += delta
        self._given_out_until_s = words[-1].end_s
        return delta


def _agreed(one: Sequence[Word], other: Sequence[Word]) -> int:
    """How many words both begin with."""
    for length, (a, b) in enumerate(zip(one, other, strict=False)):
        if a.text != b.text or abs(a.end_s - b.end_s) > SAME_END_S:
            return length
    return min(len(one), len(other))
