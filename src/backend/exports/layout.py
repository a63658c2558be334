"""Text in lines that fit on a screen, two at a time, broken where a reader would pause.

Widths are counted in columns, rather too many than too few: a cluster of characters that are seen as one is one, wide
ones are two. Nothing comes between the characters of a cluster. This is what speech needs of Unicode's rules (UAX 11,
14 and 29), not all of them.
"""

import functools
import re
import unicodedata
from collections.abc import Callable
from typing import NamedTuple

from backend.exports.harmless import FORMULA_BEGINS, without_formula

COLUMNS_A_LINE = 42


class Page(NamedTuple):
    """One line or two, parted by a line feed; `columns` counts it as one."""

    text: str
    columns: int


_page = Page._make

# One column each, and none of them joins the one before.
_NARROW_BEYOND_LATIN = (
    "\u0370-\u0482\u048a-\u058f\u05be\u05d0-\u05f4\u0600-\u060f\u061b-\u064a\u0660-\u066f\u0671-\u06d5"
    "\u2010-\u2027\u2030-\u205e\u20a0-\u20c0"
)
_NARROW = re.compile(f"[\x20-\u02ff{_NARROW_BEYOND_LATIN}]*")
# The same without FORMULA_BEGINS: most writing takes the fast way.
_EASY = re.compile(f"[\x20-*,.-<>?A-\u02ff{_NARROW_BEYOND_LATIN}]*")
_FORMULA = re.compile(f"[{re.escape(FORMULA_BEGINS)}]")
_CLAUSE_ENDS = ".,;:!?…。、，！？；：،؛؟।"  # noqa: RUF001
# Writing without spaces: a line may end after any of them.
_IDEOGRAPHS = (
    "\u2e80-\u2fff\u3001-\u312f\u31a0-\u9fff\uf900-\ufaff\ufe30-\ufe4f\uff01-\uff64\U00020000-\U0003fffd"
)
_OPENING = "「『（［｛〔〈《【"  # noqa: RUF001
_CLOSING = "、。，．・：；？！」』）］｝〕〉》】ー々ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮ…"  # noqa: RUF001
_REGIONAL = "\U0001f1e6-\U0001f1ff"
_JOINER = "\u200d"


def pages(text: str) -> list[Page]:
    """All of `text`, which is plain and not empty, in order; a word is parted only if it is longer than a line."""
    if _EASY.fullmatch(text):
        if len(text) <= COLUMNS_A_LINE:
            return [_page((text, len(text)))]
        if short := _two_lines(text):
            return [_page((short, len(short)))]
        parted = _parted(text, _pages(COLUMNS_A_LINE, unit=".", gap=_GAP))
        return [_page((page, len(page))) for page in parted if page]
    return _pages_of_any_script(text)


def _pages_of_any_script(text: str) -> list[Page]:
    limit = COLUMNS_A_LINE - bool(_FORMULA.search(text))  # a column for without_formula
    unit = _cluster() if re.search(f"{_joining()}|[{_REGIONAL}]", text) else "."
    pattern = _pages(_most_clusters(text, limit), unit=unit, gap=_gap_of_any_script())
    found = []
    for page in _parted(text, pattern):
        # A line that ends between ideographs may have a space there.
        lines = [without_formula(line) for line in map(str.strip, page.split("\n")) if line]
        if lines:
            found.append(_page(("\n".join(lines), sum(map(columns, lines)) + len(lines) - 1)))
    return found


def _parted(text: str, pattern: re.Pattern[str]) -> list[str]:
    return ["\n".join(filter(None, groups)) for groups in pattern.findall(text)]


def _most_clusters(text: str, limit: int) -> int:
    """On a line no wider than `limit`, wherever the wide ones are. One of few numbers: each has a pattern."""
    wide = _wide_ones(text)
    return next(most for most in (limit, limit * 3 // 4, limit // 2) if most + min(wide, most) <= limit)


def _two_lines(text: str) -> str | None:
    """The same as below, for what is short enough: most of what anybody says."""
    gap = text.rfind(" ", 0, COLUMNS_A_LINE + 1)
    if gap < 0 or len(text) - gap - 1 > COLUMNS_A_LINE:
        return None
    return f"{text[:gap]}\n{text[gap + 1 :]}"


def columns(text: str) -> int:
    if _NARROW.fullmatch(text):
        return len(text)
    return len(re.findall(_cluster(), text)) + _wide_ones(text)


def shortened(text: str, *, most: int) -> str:
    """With an ellipsis where it is wider than so many columns."""
    if columns(text) <= most:
        return text
    kept = re.findall(_cluster(), text)[: most - 1]
    while columns("".join(kept)) >= most:
        kept.pop()
    return "".join(kept).rstrip() + "…"


_GAP = r"(?= |\Z)"


@functools.cache
def _pages(limit: int, *, unit: str, gap: str) -> re.Pattern[str]:
    """The groups that are not empty are a page's lines. Linear: what a line has taken it does not give back."""
    some = f"(?:{unit}){{1,{limit}}}"
    line = f"(?>({some}){gap})"
    what_is_left = rf"{line}(?: ?+({some}+))?\Z"
    up_to_a_clause = rf"{line} ?+(?>({some})(?<=[{_CLAUSE_ENDS}]){gap})"
    up_to_a_word = f"{line}(?: ?+{line})?"
    # A word that is longer than a line.
    anything = f"({some}+)"
    return re.compile(f" ?+(?:{what_is_left}|{up_to_a_clause}|{up_to_a_word}|{anything})")


@functools.cache
def _gap_of_any_script() -> str:
    after = rf"(?<=[{_IDEOGRAPHS}])(?<![{_OPENING}])(?![{_CLOSING}])(?!{_joining()})"
    before = rf"(?<![{_OPENING}{_JOINER}])(?=[{_IDEOGRAPHS}])(?![{_CLOSING}])"
    return rf"(?:{_GAP}|{after}|{before})"


@functools.cache
def _cluster() -> str:
    return f"(?>(?:[{_REGIONAL}]{{2}}|.)(?:{_joining()}|{_JOINER}.)*)"


def _wide_ones(text: str) -> int:
    return len(re.findall(_wide(), text))


@functools.cache
def _wide() -> str:
    # U+FE0F makes an emoji of the character before it.
    wide = _class_of(lambda character: unicodedata.east_asian_width(character) in "WF")
    return f"{wide}|[{_REGIONAL}\ufe0f\U00020000-\U0003fffd]"


@functools.cache
def _joining() -> str:
    """Marks, modifiers of emoji, and the later parts of a Korean syllable: they belong to what is before them."""
    marks = _class_of(lambda character: unicodedata.category(character) in ("Mn", "Mc", "Me"))
    return (
        f"(?:{marks}|[{_JOINER}\u200c\u1160-\u11ff\ud7b0-\ud7fb\U0001f3fb-\U0001f3ff\U000e0100-\U000e01ef])"
    )


def _class_of(holds: Callable[[str], bool]) -> str:
    """Those it holds for. In two parts: Python looks up a class in a table if it has nothing beyond the first plane."""
    first, second = (_ranges(range(*plane), holds) for plane in ((0x300, 0x10000), (0x10000, 0x20000)))
    return f"(?:[{first}]|(?=[\U00010000-\U0001ffff])[{second}])"


def _ranges(points: range, holds: Callable[[str], bool]) -> str:
    found: list[list[int]] = []
    for point in points:
        if not holds(chr(point)):
            continue
        if found and found[-1][1] == point - 1:
            found[-1][1] = point
        else:
            found.append([point, point])
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in found)
