"""Ask LiveKit for a job, and take it back."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from django.conf import settings
from livekit import api

from backend.dispatch.client import livekit
from contract.dispatch import DispatchMetadata
from contract.errors import ContractError
from contract.names import agent_identity, agent_prefix
from contract.shapes import from_json, to_json

CLEAN_UP_TIMEOUT_S = 1.0
LOOK_AGAIN_AFTER_S = 0.03


def create_dispatch(*, room: str, metadata: DispatchMetadata, timeout_s: float) -> str:
    """The id of the new dispatch. The room must exist: LiveKit would create it."""

    async def create(lkapi: api.LiveKitAPI) -> str:
        request = api.CreateAgentDispatchRequest(
            agent_name=settings.ROOM_SUBTITLE_AGENT_NAME, room=room, metadata=to_json(metadata)
        )
        return (await lkapi.agent_dispatch.create_dispatch(request)).id

    dispatch_id = livekit().call(create, timeout_s=timeout_s)
    if settings.LIVEKIT_SERVES_ONLY_US:
        livekit().spawn(lambda lkapi: _delete_nameless(lkapi, room), timeout_s=CLEAN_UP_TIMEOUT_S)
    return dispatch_id


def remove_agents(
    *, room: str, agent: str, session: str, timeout_s: float, keep: frozenset[int] = frozenset()
) -> bool:
    """Delete the session's dispatches, remove its agents, but for generations to `keep`; say whether all are gone.

    LiveKit deletes a dispatch at its leisure, so agents are removed by name as well, until none is listed. The room
    must exist: for an absent one LiveKit answers after 3 s, which is LiveKitUnavailable here.
    """
    removal = _removal(room=room, agent=agent, session=session, timeout_s=timeout_s, keep=keep)
    return livekit().call(removal, timeout_s=timeout_s)


def remove_agents_soon(*, room: str, agent: str, session: str) -> None:
    """The same in the background, once."""
    removal = _removal(
        room=room, agent=agent, session=session, timeout_s=CLEAN_UP_TIMEOUT_S, keep=frozenset()
    )
    livekit().spawn(removal, timeout_s=CLEAN_UP_TIMEOUT_S)


def _removal(
    *, room: str, agent: str, session: str, timeout_s: float, keep: frozenset[int]
) -> Callable[[api.LiveKitAPI], Awaitable[bool]]:
    kept = {agent_identity(agent=agent, generation=generation) for generation in keep}

    def is_unwanted(identity: str) -> bool:
        return identity.startswith(agent_prefix(agent)) and identity not in kept

    async def remove(lkapi: api.LiveKitAPI) -> bool:
        deadline_s = time.monotonic() + timeout_s / 2
        while True:
            listed = await lkapi.room.list_participants(api.ListParticipantsRequest(room=room))
            agents = [p.identity for p in listed.participants if is_unwanted(p.identity)]
            dispatches = await _dispatches(lkapi, room=room, session=session, keep=keep)
            if not agents and not dispatches:
                return True
            if time.monotonic() > deadline_s:
                return False
            # An error here is somebody else's removal; the next look decides.
            await asyncio.gather(
                *(lkapi.agent_dispatch.delete_dispatch(dispatch, room) for dispatch in dispatches),
                *(
                    lkapi.room.remove_participant(api.RoomParticipantIdentity(room=room, identity=a))
                    for a in agents
                ),
                return_exceptions=True,
            )
            await asyncio.sleep(LOOK_AGAIN_AFTER_S)

    return remove


async def _delete_nameless(lkapi: api.LiveKitAPI, room: str) -> None:
    """LiveKit offers every room to agents of no name; where there can be none, that entry only confuses."""
    for dispatch in await lkapi.agent_dispatch.list_dispatch(room):
        if not dispatch.agent_name:
            await lkapi.agent_dispatch.delete_dispatch(dispatch.id, room)


async def _dispatches(lkapi: api.LiveKitAPI, *, room: str, session: str, keep: frozenset[int]) -> list[str]:
    listed = await lkapi.agent_dispatch.list_dispatch(room)
    wanted = ((dispatch.id, _lease_of(dispatch)) for dispatch in listed)
    return [id for id, lease in wanted if lease and lease.session == session and lease.generation not in keep]


def _lease_of(dispatch: api.AgentDispatch) -> DispatchMetadata | None:
    if dispatch.agent_name != settings.ROOM_SUBTITLE_AGENT_NAME:
        return None
    try:
        return from_json(DispatchMetadata, dispatch.metadata)
    except ContractError:
        return None
