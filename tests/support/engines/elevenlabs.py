"""ElevenLabs in the contract suite."""

from contract.engines import EngineSetup
from tests.support.engines.contract import WORDS_BEFORE_CUT, Fault
from tests.support.engines.scripted import ByScript, over_http
from tests.support.engines.sockets import Script
from tests.support.scripted_elevenlabs import ScriptedElevenLabs

KEY = "a-key-of-elevenlabs"
SCRIPTS = {
    **over_http(Script),
    Fault.HANGS: Script(hangs=True),
    Fault.SESSION_LIMIT: Script(fails_after_words=WORDS_BEFORE_CUT, fails_with="session_time_limit_exceeded"),
}


def elevenlabs() -> ByScript:
    engine = ScriptedElevenLabs(key=KEY)
    return ByScript(
        engine,
        setup=lambda: EngineSetup(engine="elevenlabs", base_url=engine.base_url, api_key=KEY),
        scripts=SCRIPTS,
    )
