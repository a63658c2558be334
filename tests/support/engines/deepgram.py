"""Deepgram's live transcription in the contract suite."""

from collections.abc import Mapping
from typing import Any

from contract.engines import EngineSetup
from tests.support.engines.contract import RETRY_AFTER_S, WORDS_BEFORE_CUT, Fault, Seen
from tests.support.scripted_deepgram import ScriptedDeepgram

KEY = "a-key-of-deepgram"
SCRIPTS: Mapping[Fault, dict[str, Any]] = {
    Fault.BAD_KEY: {"accepts": 401},
    Fault.FORBIDDEN: {"accepts": 403},
    Fault.BUSY: {"accepts": 429, "retry_after_s": RETRY_AFTER_S},
    Fault.BROKEN: {"accepts": 500},
    Fault.FULL: {"accepts": 503},
    Fault.HANGS: {"hangs": "silent"},
    Fault.CUT: {"closes_after_words": WORDS_BEFORE_CUT},
    Fault.GARBAGE: {"garbage": ["non_json", "binary", "negative_times", "wrong_types", "deep_json"]},
    Fault.SESSION_LIMIT: {"closes_after_words": WORDS_BEFORE_CUT, "close_code": 1011},
}


class DeepgramServer:
    """`with DeepgramServer() as server:`."""

    def __init__(self) -> None:
        self._engine = ScriptedDeepgram()

    @property
    def setup(self) -> EngineSetup:
        return EngineSetup(engine="deepgram", base_url=self._engine.url, api_key=KEY)

    def __enter__(self) -> "DeepgramServer":
        self._engine.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.__exit__()

    def behave(self) -> None:
        self._engine.reset()
        self._engine.set(accepted_key=KEY)

    def fail(self, fault: Fault, *, times: int | None = None) -> None:
        self._engine.set(**SCRIPTS[fault], faults_times=times, closes_times=times)

    def seen(self) -> Seen:
        seen = self._engine.seen()
        return Seen(
            tries=len(seen.attempts),
            sessions=len(seen.connections),
            open=sum(c.closed_at is None for c in seen.connections),
            rude_ends=sum(c.ending == "abrupt" for c in seen.connections),
            violations=tuple(v for c in seen.connections for v in c.violations),
        )
