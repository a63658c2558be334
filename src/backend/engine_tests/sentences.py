"""What a test has come to, in plain words; the admin and the command say the same."""

from backend.engine_tests.models import EngineTest
from contract.engines import EngineTestResult

SENTENCES = {
    EngineTestResult.OK: "The engine works.",
    EngineTestResult.WRONG_WORDS: "The engine answers with other words than the clip's. Is it for another language?",
    EngineTestResult.BAD_KEY: "The engine does not accept the key.",
    EngineTestResult.NO_QUOTA: "The engine accepts the key, but its account has nothing left, or asks too often.",
    EngineTestResult.WRONG_MODEL: "The engine does not know the model, or nothing is at this path of its address.",
    EngineTestResult.UNREACHABLE: "The engine cannot be reached, or fails.",
    EngineTestResult.SILENT: "The engine takes audio and says nothing.",
    EngineTestResult.ADDRESS_REFUSED: "The address is one that may not be used here.",
    EngineTestResult.NOT_INSTALLED: "No worker that runs now has this engine installed.",
    EngineTestResult.WRONG_OPTIONS: "The engine does not accept the model or an option as it is set.",
    EngineTestResult.NOT_TRIED: "No worker could try it in time: they are busy, or one went away. Ask again.",
}


def sentence_of(test: EngineTest) -> str:
    if test.is_over:
        return SENTENCES[EngineTestResult(test.result)]
    if test.taken_by:
        return f"Worker {test.taken_by} plays a clip of three seconds to the engine …"
    return "Waiting for a worker that has this engine …"


def figures_of(test: EngineTest) -> dict[str, str]:
    """What there is to say beside the sentence, each with its name; the words are what the engine made of our clip."""
    figures = {}
    if test.words:
        figures["Words"] = test.words
    if test.word_error_rate is not None:
        figures["Wrong words"] = f"{test.word_error_rate:.0%}"
    if test.latency_ms is not None:
        figures["Latency"] = f"{test.latency_ms} ms after the end of speech"
    return figures
