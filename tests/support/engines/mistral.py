"""Mistral in the contract suite."""

from contract.engines import EngineSetup
from tests.support.engines.contract import WORDS_BEFORE_CUT, Fault
from tests.support.engines.scripted import ByScript, over_http
from tests.support.engines.sockets import Script
from tests.support.scripted_mistral import ScriptedMistral

KEY = "a-key-of-mistral"
TIMED_OUT = 3804
"""Their own code of a session that has waited too long."""
SCRIPTS = {
    **over_http(Script),
    Fault.HANGS: Script(hangs=True),
    Fault.SESSION_LIMIT: Script(fails_after_words=WORDS_BEFORE_CUT, fails_with=TIMED_OUT),
}


def mistral() -> ByScript:
    engine = ScriptedMistral(key=KEY)
    return ByScript(
        engine,
        setup=lambda: EngineSetup(engine="mistral", base_url=engine.url, api_key=KEY),
        scripts=SCRIPTS,
    )
