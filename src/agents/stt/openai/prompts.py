"""Words to expect, and what was said before, as the engines take them. Bounded: Whisper reads 224 tokens of it."""

from collections.abc import Iterable

MAX_VOCABULARY_BYTES = 400
MAX_CONTEXT_BYTES = 200
"""As UTF-8: a token is four bytes of English, and seldom less than two of anything."""


def prompt_of(vocabulary: Iterable[str], *, context: str = "") -> str:
    """`Ada, Roomscribe. and so I said`: what was said last stands last, as if the audio went on from it."""
    words: list[str] = []
    room = MAX_VOCABULARY_BYTES
    for word in vocabulary:
        room -= len(word.encode()) + 2
        if room < 0:
            break
        words.append(word)
    return " ".join(part for part in (f"{', '.join(words)}." if words else "", context) if part)


def context_of(text: str) -> str:
    """The last words of it."""
    words: list[str] = []
    room = MAX_CONTEXT_BYTES
    for word in reversed(text.split()):
        room -= len(word.encode()) + 1
        if room < 0:
            break
        words.append(word)
    return " ".join(reversed(words))
