"""Engines of `/v1/realtime` in the contract suite."""

from contract.engines import EngineSetup
from tests.support.engines.contract import WORDS_BEFORE_CUT, Fault
from tests.support.engines.scripted import ByScript, over_http
from tests.support.scripted_vllm import Script, ScriptedVllm

KEY = "a-key-of-vllm"
SCRIPTS = {
    **over_http(Script),
    Fault.HANGS: Script(hangs="silent"),
    Fault.SESSION_LIMIT: Script(fails_after_words=WORDS_BEFORE_CUT),
}


def realtime(name: str) -> ByScript:
    engine = ScriptedVllm(key=KEY)
    return ByScript(
        engine,
        setup=lambda: EngineSetup(engine=name, base_url=engine.url, api_key=KEY),
        scripts=SCRIPTS,
    )
