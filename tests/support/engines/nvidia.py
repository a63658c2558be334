"""Riva in the contract suite."""

from collections.abc import Mapping

from grpc import StatusCode

from contract.engines import EngineSetup
from tests.support.engines.contract import RETRY_AFTER_S, WORDS_BEFORE_CUT, Fault
from tests.support.engines.scripted import ByScript
from tests.support.scripted_riva import Script, ScriptedRiva

KEY = "a-key-of-nvidia"
SCRIPTS: Mapping[Fault, Script] = {
    Fault.BAD_KEY: Script(refuses=StatusCode.UNAUTHENTICATED),
    Fault.FORBIDDEN: Script(refuses=StatusCode.PERMISSION_DENIED),
    Fault.BUSY: Script(refuses=StatusCode.RESOURCE_EXHAUSTED, retry_after_s=RETRY_AFTER_S),
    Fault.BROKEN: Script(refuses=StatusCode.UNAVAILABLE),
    Fault.FULL: Script(refuses=StatusCode.RESOURCE_EXHAUSTED),
    Fault.HANGS: Script(hangs=True),
    Fault.CUT: Script(is_cut_after_words=WORDS_BEFORE_CUT),
    Fault.GARBAGE: Script(says_rubbish=True),
    Fault.SESSION_LIMIT: Script(fails_after_words=WORDS_BEFORE_CUT, fails_with=StatusCode.DEADLINE_EXCEEDED),
}


def nvidia() -> ByScript:
    engine = ScriptedRiva(key=KEY)
    return ByScript(
        engine,
        setup=lambda: EngineSetup(engine="nvidia", base_url=f"grpc://{engine.target}", api_key=KEY),
        scripts=SCRIPTS,
    )
