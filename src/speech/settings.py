"""Every setting of the speech server, in one table; read once, by `__main__`."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from speech.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One environment variable."""

    name: str
    default: str
    help: str


SETTINGS: tuple[Setting, ...] = (
    Setting(name="SPEECH_HOST", default="127.0.0.1", help="Address the speech server listens on."),
    Setting(name="SPEECH_PORT", default="8001", help="Port the speech server listens on."),
    Setting(
        name="SPEECH_SESSIONS",
        default="4",
        help="How many utterances are decoded at once, each in a process of its own (1-64); more are refused.",
    ),
    Setting(
        name="SPEECH_API_KEY",
        default="",
        help="Bearer key that clients of the speech server must send; empty: none is asked for.",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The table above, typed."""

    host: str
    port: int
    sessions: int
    api_key: str = field(repr=False)


def read_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Raises SettingsError, which names the variable."""
    given = os.environ if environment is None else environment
    # A mounted secret file usually ends in a newline, which no client sends.
    values = {setting.name: given.get(setting.name, "").strip() or setting.default for setting in SETTINGS}
    return Settings(
        host=values["SPEECH_HOST"],
        port=_number(values, "SPEECH_PORT", least=1, most=65_535),
        sessions=_number(values, "SPEECH_SESSIONS", least=1, most=64),
        api_key=values["SPEECH_API_KEY"],
    )


def _number(values: Mapping[str, str], name: str, *, least: int, most: int) -> int:
    digits = values[name]
    if not (digits.isascii() and digits.isdigit() and least <= int(digits[:9]) <= most):
        raise SettingsError(f"{name} is not a whole number from {least} to {most}")
    return int(digits)


def one_thread_of_arithmetic() -> None:
    """Before numpy is loaded: its threads would contend with the decoders for the cores, and do not survive a fork."""
    for library in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(library, "1")
