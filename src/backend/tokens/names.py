"""What may name a room or a participant."""

import unicodedata

# LiveKit counts bytes (limit.max_room_name_length, limit.max_participant_identity_length).
MAX_NAME_BYTES = 256

# A control character breaks a log line, NUL a database; the others turn the text around them.
FORBIDDEN_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def is_room_name(value: object) -> bool:
    """`*` would read as every room."""
    return is_name(value) and value != "*"


def is_name(value: object) -> bool:
    """Whether LiveKit, a database and a log line can hold this identity or room name, in any script."""
    return (
        isinstance(value, str)
        and value != ""
        and not any(unicodedata.category(c) in FORBIDDEN_CATEGORIES or c in BIDI_CONTROLS for c in value)
        and len(value.encode()) <= MAX_NAME_BYTES
    )
