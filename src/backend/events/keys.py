"""Keys of engines as people give them: checked, and shown by their last characters alone."""

MASK = "••••"
MAX_KEY_CHARS = 4096
MIN_CHARS_FOR_HINT = 16
"""Of a shorter key the last four characters would be too much of it."""


class KeyRefused(ValueError):
    """Its text tells people what is wrong, and never what they gave."""


def checked_key(given: str) -> str:
    """The key, without blanks around it. Raises KeyRefused for what no engine can have made."""
    key = given.strip()
    if not key:
        raise KeyRefused("There is no key.")
    if MASK[0] in key or set(key) <= set("*.x"):
        raise KeyRefused("This is a mask, not a key. Paste the key itself.")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise KeyRefused("A key is one word of plain letters, digits and signs.")
    if len(key) > MAX_KEY_CHARS:
        raise KeyRefused(f"A key has at most {MAX_KEY_CHARS} characters.")
    return key


def hint_of(key: str) -> str:
    """By which people tell keys apart."""
    return key[-4:] if len(key) >= MIN_CHARS_FOR_HINT else ""


def mask_of(hint: str) -> str:
    """What is shown instead of a key."""
    return f"{MASK} {hint}".strip()
