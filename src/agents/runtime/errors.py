"""What goes wrong in a worker.

AgentError
├── OurFault            stop, do not retry
│   ├── SettingsError
│   └── OptionsError    an engine's setup cannot work
│       └── NotInstalled    its extra is missing here
└── TheirFault
    ├── ClaimStale      the lease is another's or over: for good
    ├── SegmentsRefused finals that the backend will not take: for good
    │   └── SessionUnknown
    ├── AtCapacity      not now: another worker, or later
    ├── BackendLost     retry
    ├── WorkerLost      a job's own worker process is gone: leave the room
    └── EngineFault     audio is kept
        ├── EngineRefused   bad key or model: retry slowly
        │   └── EngineOutOfBounds   its address is not one that may be connected to
        ├── EngineFull      retry, when it says so
        └── EngineLost      retry
            └── EngineSilent    it takes audio and says nothing
"""


class AgentError(Exception):
    """Root of all errors of the agents; messages are constant sentences."""


class OurFault(AgentError):
    """Retrying cannot help."""


class SettingsError(OurFault):
    """A setting is missing or not of its kind; the message names it, never its value."""


class OptionsError(OurFault):
    """An engine's setup lacks something, or has a value of the wrong kind."""


class NotInstalled(OptionsError):
    """This worker has no such engine, or not its optional extra."""


class TheirFault(AgentError):
    """Somebody else's trouble, that may pass."""


class ClaimStale(TheirFault):
    """The lease is not, or no longer, to be had."""


class SegmentsRefused(TheirFault):
    """The backend will not take these finals, however often they are handed in; it may take some of them."""


class SessionUnknown(SegmentsRefused):
    """It will take none of that session."""


class AtCapacity(TheirFault):
    """The backend finds this worker full."""


class BackendLost(TheirFault):
    """The backend cannot be reached or does not answer as agreed."""


class WorkerLost(TheirFault):
    """The worker's main process does not answer its job."""


class EngineFault(TheirFault):
    """An engine's stream has come to nothing.

    `retry_after_s` is how long the engine asks to be left alone. `status` is the HTTP status that it answered, or
    the one that says the same as its own wire's code; None: there is no such word of its.
    """

    def __init__(
        self, message: str, *, retry_after_s: float | None = None, status: int | None = None
    ) -> None:
        super().__init__(message)
        self.retry_after_s, self.status = retry_after_s, status


class EngineRefused(EngineFault):
    """The engine does not accept us: key, model or address are wrong."""


class EngineOutOfBounds(EngineRefused):
    """The engine is where no connection of ours may lead."""


class EngineFull(EngineFault):
    """The engine has no room for another session now."""


class EngineLost(EngineFault):
    """The engine's connection failed or fell silent."""


class EngineSilent(EngineLost):
    """The engine takes audio and says nothing."""
