"""Why an engine gave no words, as exactly as its fault tells."""

from livekit.agents import APIStatusError

from agents.runtime.errors import (
    EngineFault,
    EngineOutOfBounds,
    EngineRefused,
    EngineSilent,
)
from contract.engines import EngineTestResult

RESULT_OF_STATUS = {
    400: EngineTestResult.WRONG_OPTIONS,
    401: EngineTestResult.BAD_KEY,
    402: EngineTestResult.NO_QUOTA,
    403: EngineTestResult.BAD_KEY,
    404: EngineTestResult.WRONG_MODEL,
    422: EngineTestResult.WRONG_OPTIONS,
    429: EngineTestResult.NO_QUOTA,
}


def result_of(error: BaseException) -> EngineTestResult:
    """Of what an engine's stream raised: a fault of ours, or whatever its plugin lets through."""
    fault = next((each for each in (error, error.__cause__) if isinstance(each, EngineFault)), None)
    status = fault.status if fault else error.status_code if isinstance(error, APIStatusError) else None
    if status in RESULT_OF_STATUS:
        return RESULT_OF_STATUS[status]
    if isinstance(fault, EngineOutOfBounds):
        return EngineTestResult.ADDRESS_REFUSED
    if isinstance(fault, EngineRefused):
        return EngineTestResult.BAD_KEY
    if isinstance(fault, EngineSilent):
        return EngineTestResult.SILENT
    return EngineTestResult.UNREACHABLE
