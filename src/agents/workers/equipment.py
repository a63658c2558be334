"""The engines of one job, made from what the backend says it may use."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from agents.rooms.chain import Engine
from agents.runtime.errors import EngineRefused, NotInstalled, OptionsError
from agents.stt.dialing import DialingRules
from agents.stt.registry import ENGINES, EngineDefaults, engine_of
from contract.engines import EngineSetup, SessionEngines
from contract.status import Reason

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Equipped:
    """`shortfall`: why these are not the engines that are wanted."""

    engines: tuple[Engine, ...]
    shortfall: Reason | None


class Equipment:
    """Makes an engine once for each setup; another key, address or model is another engine."""

    def __init__(
        self, *, defaults: EngineDefaults, rules: DialingRules, vocabulary: Callable[[], tuple[str, ...]]
    ) -> None:
        self._defaults, self._rules, self._vocabulary = defaults, rules, vocabulary
        self._made: dict[EngineSetup, Engine] = {}

    def equipped(self, wanted: SessionEngines) -> Equipped:
        """In the order of the chain. What has not changed is the same as before; closing the rest is the caller's."""
        made: dict[EngineSetup, Engine] = {}
        shortfall = Reason.BUDGET_SPENT if wanted.is_budget_spent else None
        for setup in wanted.chain:
            try:
                made[setup] = self._made.get(setup) or self._engine(setup)
            except Exception as error:  # noqa: BLE001 - a plugin may raise anything, and the next engine may be had
                logger.warning(
                    "an engine cannot be used", extra={"engine": setup.engine, "error": type(error).__name__}
                )
                if not made:
                    shortfall = shortfall or _reason(error)
        self._made = made
        return Equipped(engines=tuple(made.values()), shortfall=shortfall)

    def _engine(self, setup: EngineSetup) -> Engine:
        made = engine_of(setup, defaults=self._defaults, rules=self._rules, vocabulary=self._vocabulary)
        kind = ENGINES[setup.engine]
        return Engine(
            name=setup.engine,
            stt=made,
            session_limit_s=kind.capabilities.session_limit_s,
            speaks_unasked=kind.capabilities.streaming and kind.capabilities.interims,
            languages=kind.languages,
        )


def _reason(error: Exception) -> Reason:
    is_setup_wrong = isinstance(error, EngineRefused | OptionsError) and not isinstance(error, NotInstalled)
    return Reason.ENGINE_AUTH if is_setup_wrong else Reason.ENGINE_DOWN
