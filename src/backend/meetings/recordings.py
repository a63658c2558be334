"""Recordings of a room, as LiveKit's egress tells of them; its messages may be doubled, late or out of order."""

import re
import unicodedata

from backend.meetings.models import Meeting, Recording

MAX_ID_CHARS = 64
MAX_FILENAME_CHARS = 255
MAX_EPOCH_MS = 2**43
NOT_IN_A_FILENAME = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Controls, what turns or hides the text around it, and what nobody can write down."""


def note_recording(
    meeting: Meeting, *, egress_id: str, started_at_ms: int, path: str = "", is_last_word: bool = False
) -> None:
    """Nothing before it has started. Its name is the first that is told, until the last word on it."""
    if not (0 < len(egress_id) <= MAX_ID_CHARS and 0 < started_at_ms < MAX_EPOCH_MS):
        return
    name = filename_of(path)
    recording, _ = Recording.objects.get_or_create(
        egress_id=egress_id,
        defaults={"meeting": meeting, "started_at_ms": started_at_ms, "filename": name},
    )
    if name and name != recording.filename and (is_last_word or not recording.filename):
        Recording.objects.filter(pk=recording.pk).update(filename=name)


def filename_of(path: str) -> str:
    """Without folders, of any system's; empty: it has none that can be used."""
    name = re.split(r"[/\\]", path)[-1]
    name = "".join(
        character for character in name if unicodedata.category(character) not in NOT_IN_A_FILENAME
    )
    name = name.strip()[:MAX_FILENAME_CHARS]
    return "" if name in (".", "..") else name
