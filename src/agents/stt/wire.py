"""What engines' wires have in common, without a socket: messages, texts, addresses, languages."""

import json
import re
from typing import Any
from urllib.parse import urlsplit

from agents.runtime.errors import OptionsError

MAX_LINE_CHARS = 256 * 1024
MAX_TEXT_CHARS = 10_000
WEBSOCKET_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
LANGUAGE_TAG = re.compile(r"([A-Za-z]{2,3})([-_][A-Za-z0-9]{2,8})*")


def message_of(line: str, *, kind: str = "type") -> dict[str, Any] | None:
    """The JSON object of a line, whose `kind` is a string; None for anything else, and for what is too long."""
    if len(line) > MAX_LINE_CHARS:
        return None
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) and isinstance(message.get(kind), str) else None


def plain(text: str) -> str:
    """Cut to what a caption may be, and fit for UTF-8: JSON can escape half a character."""
    return text[:MAX_TEXT_CHARS].encode("utf-8", "replace").decode("utf-8")


def require_websocket_address(base_url: str) -> None:
    """Raises OptionsError."""
    parts = urlsplit(base_url)
    if parts.scheme not in WEBSOCKET_SCHEMES or not parts.hostname or parts.query or parts.fragment:
        raise OptionsError("the engine's address is not an http(s) or ws(s) address")


def without_region(tag: str) -> str:
    """A language as most engines write it: `pt_BR` becomes `pt`. Empty for what names none."""
    match = LANGUAGE_TAG.fullmatch(tag.strip())
    return match[1].lower() if match else ""
