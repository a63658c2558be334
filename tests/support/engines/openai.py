"""OpenAI's transcription, and those that speak like it, in the contract suite."""

from contract.engines import EngineSetup, NamedValue
from tests.support.engines.contract import WORDS_BEFORE_CUT, Fault, Seen
from tests.support.engines.scripted import ByScript, over_http
from tests.support.scripted_openai import Script, ScriptedOpenAI

KEY = "a-key-of-openai"
COMMON = {**over_http(Script), Fault.HANGS: Script(hangs="silent")}
# A request has no session to outlive; a gateway that has waited too long for its answer is the nearest.
BY_REQUEST = {**COMMON, Fault.SESSION_LIMIT: Script(accepts=504)}
BY_STREAM = {**COMMON, Fault.SESSION_LIMIT: Script(expires_after_words=WORDS_BEFORE_CUT)}


class RequestedOpenAI(ScriptedOpenAI):
    """Each utterance is a request."""

    def seen(self) -> Seen:
        return Seen(
            tries=self.tried,
            sessions=len(self.answered),
            open=len(self.asking),
            rude_ends=0,  # a request that is not waited for needs no goodbye
            violations=tuple(self.violations),
        )


def by_request(name: str, *, model: str = "") -> ByScript:
    """Each utterance is asked for once, the next try is the pipeline's."""
    engine = RequestedOpenAI(key=KEY)
    return ByScript(
        engine,
        setup=lambda: EngineSetup(
            engine=name,
            base_url=engine.url,
            model=model,
            api_key=KEY,
            options=(NamedValue(name="tries", value="1"),),
        ),
        scripts=BY_REQUEST,
    )


def by_stream() -> ByScript:
    engine = ScriptedOpenAI(key=KEY)
    return ByScript(
        engine,
        setup=lambda: EngineSetup(engine="openai_realtime", base_url=engine.url, api_key=KEY),
        scripts=BY_STREAM,
    )
