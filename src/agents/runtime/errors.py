"""What goes wrong in a worker.

AgentError
├── OurFault            stop, do not retry
│   └── SettingsError
└── TheirFault
    ├── ClaimStale      the lease is another's or over: for good
    ├── AtCapacity      not now: another worker, or later
    ├── BackendLost     retry
    ├── WorkerLost      a job's own worker process is gone: leave the room
    ├── EngineRefused   bad key or model: retry slowly
    ├── EngineFull      retry
    └── EngineLost      retry, audio is kept
"""


class AgentError(Exception):
    """Root of all errors of the agents; messages are constant sentences."""


class OurFault(AgentError):
    """Retrying cannot help."""


class SettingsError(OurFault):
    """A setting is missing or not of its kind; the message names it, never its value."""


class TheirFault(AgentError):
    """Somebody else's trouble, that may pass."""


class ClaimStale(TheirFault):
    """The lease is not, or no longer, to be had."""


class AtCapacity(TheirFault):
    """The backend finds this worker full."""


class BackendLost(TheirFault):
    """The backend cannot be reached or does not answer as agreed."""


class WorkerLost(TheirFault):
    """The worker's main process does not answer its job."""


class EngineRefused(TheirFault):
    """The engine does not accept us: key, model or address are wrong."""


class EngineFull(TheirFault):
    """The engine has no room for another session now."""


class EngineLost(TheirFault):
    """The engine's connection failed or fell silent."""
