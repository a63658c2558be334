"""Text that does nothing but be read. What people and engines say is never trusted to be that.

Formats add what they alone need: WebVTT escapes, SRT cannot.
"""

import re

NO_BREAK_SPACE = "\u00a0"
FORMULA_BEGINS = "=+-@＝＋－＠"  # noqa: RUF001 (spreadsheets of East Asia take the wide ones too)
LOOKALIKES = str.maketrans({"<": "\u2039", ">": "\u203a", "{": "(", "}": ")", "\\": "\u29f5"})
"""For what players take for markup, where it cannot be escaped."""

_SPACES = re.compile("[\t-\r\x1c-\x20\x85\u1680\u2000-\u200a\u2028\u2029\u205f\u3000]+")
_HIDDEN = re.compile(
    "["
    "\0-\x08\x0e-\x1b\x7f-\x84\x86-\x9f"  # controls
    "\xad\u180e\u200b\u2060-\u2065\ufeff"  # of no width; U+200C and U+200D are parts of words and of emoji
    "\u202a-\u202e\u2066-\u206f"  # they turn the direction of what follows, beyond their own text
    "\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e007f"  # annotations, beams, tags: text nobody sees
    "\ud800-\udfff\ufdd0-\ufdef"  # no characters, and those below
    + "".join(chr(plane * 0x10000 + last) for plane in range(17) for last in (0xFFFE, 0xFFFF))
    + "]+"
)
_JOINERS = "[\u200c\u200d]"
_LOOSE_JOINERS = re.compile(f"(?:^|(?<= )){_JOINERS}+|{_JOINERS}+(?= |$)|(?<={_JOINERS}){_JOINERS}+")


def plain(text: str) -> str:
    """One line, words parted by one space, and nothing in it that is not seen but for joiners within words."""
    if not text.isprintable():  # whatever is taken out below is not
        text = _LOOSE_JOINERS.sub("", _HIDDEN.sub("", _SPACES.sub(" ", text)))
    if "  " in text:
        text = _SPACES.sub(" ", text)
    return text.strip()


def without_formula(line: str) -> str:
    """A spreadsheet that is given the file sees no formula; a reader sees the same line."""
    return NO_BREAK_SPACE + line if line[0] in FORMULA_BEGINS else line
