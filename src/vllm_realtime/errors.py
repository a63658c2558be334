"""How a stream ends that comes to nothing.

APIError                LiveKit's
├── APIStatusError
│   └── ServerRefused   the server answered that it will not
└── APIConnectionError
    └── ServerLost      the server cannot be reached, went away or fell silent
"""

from livekit.agents import APIConnectionError, APIStatusError


class ServerRefused(APIStatusError):
    """The handshake was answered with `status_code`, or the wire's own code says the same as that status.

    `retry_after` is the header as it came; None: there was none.
    """

    def __init__(self, message: str, *, status_code: int, retry_after: str | None = None) -> None:
        super().__init__(message, status_code=status_code)
        self.retry_after = retry_after


class ServerLost(APIConnectionError):
    """What was not final when it happened has to be said again on another stream."""
