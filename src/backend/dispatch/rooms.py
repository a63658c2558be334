"""Who is in a room now, as LiveKit knows it."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from livekit import api

from backend.dispatch.client import livekit
from backend.errors import NotAParticipant, RoomAbsent

PRESENCE_TIMEOUT_S = 0.7
ASK_AGAIN_AFTER_S = 0.1
ROOMS_TIMEOUT_S = 2.0
PING_TIMEOUT_S = 0.5
SEND_TIMEOUT_S = 1.0

# Agents and egress are not people.
KINDS_OF_PEOPLE = frozenset(
    {
        api.ParticipantInfo.Kind.STANDARD,
        api.ParticipantInfo.Kind.SIP,
        api.ParticipantInfo.Kind.INGRESS,
        api.ParticipantInfo.Kind.CONNECTOR,
    }
)


@dataclass(frozen=True, kw_only=True)
class Presence:
    """Somebody who is in the room now; `room_sid` names the meeting. `joined_at_ms`: this time, UTC epoch."""

    room_sid: str
    identity: str
    can_publish: bool
    joined_at_ms: int


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What one look at LiveKit showed; `room_sid` None: no such room."""

    room_sid: str | None
    is_active: bool
    can_publish: bool
    joined_at_ms: int


def require_presence(*, room: str, identity: str) -> Presence:
    """Raises RoomAbsent, NotAParticipant or LiveKitUnavailable, within about 0.8 s."""

    async def look_twice(lkapi: api.LiveKitAPI) -> Seen:
        seen = await _look(lkapi, room=room, identity=identity)
        if seen.is_active:
            return seen
        await asyncio.sleep(ASK_AGAIN_AFTER_S)  # a listing may lag behind in a cluster
        return await _look(lkapi, room=room, identity=identity)

    seen = livekit().call(look_twice, timeout_s=PRESENCE_TIMEOUT_S, same=("presence", room, identity))
    if seen.room_sid is None:
        raise RoomAbsent
    if not seen.is_active:
        raise NotAParticipant
    return Presence(
        room_sid=seen.room_sid,
        identity=identity,
        can_publish=seen.can_publish,
        joined_at_ms=seen.joined_at_ms,
    )


def is_in_room(*, room: str, identity: str) -> bool:
    """Whether anybody holds this identity in the room, in whatever state."""

    async def look(lkapi: api.LiveKitAPI) -> bool:
        return await _participant(lkapi, room=room, identity=identity) is not None

    return livekit().call(look, timeout_s=PRESENCE_TIMEOUT_S)


@dataclass(frozen=True, kw_only=True)
class RoomNow:
    """A LiveKit room that exists; `people` counts those who could read or speak, `others` are agents and the like."""

    sid: str
    people: int
    others: frozenset[str] = frozenset()


def rooms_now(names: Iterable[str]) -> dict[str, RoomNow]:
    """Each of these rooms that exists. Raises LiveKitUnavailable."""
    wanted = list(names)

    async def look(lkapi: api.LiveKitAPI) -> dict[str, RoomNow]:
        listed = await lkapi.room.list_rooms(api.ListRoomsRequest(names=wanted))
        found = await asyncio.gather(*(_room_now(lkapi, room) for room in listed.rooms))
        return {room.name: now for room, now in zip(listed.rooms, found, strict=True)}

    return livekit().call(look, timeout_s=ROOMS_TIMEOUT_S)


def room_sids(names: Iterable[str]) -> dict[str, str]:
    """Of each of these rooms that exists. Raises LiveKitUnavailable."""
    wanted = list(names)

    async def look(lkapi: api.LiveKitAPI) -> dict[str, str]:
        listed = await lkapi.room.list_rooms(api.ListRoomsRequest(names=wanted))
        return {room.name: room.sid for room in listed.rooms}

    return livekit().call(look, timeout_s=ROOMS_TIMEOUT_S)


def people_now(room: str, *, timeout_s: float) -> dict[str, int]:
    """When each of the people who are in the room came, by identity. Raises LiveKitUnavailable."""

    async def look(lkapi: api.LiveKitAPI) -> dict[str, int]:
        listed = await lkapi.room.list_participants(api.ListParticipantsRequest(room=room))
        return {p.identity: joined_ms(p) for p in listed.participants if _is_active_person(p)}

    return livekit().call(look, timeout_s=timeout_s)


def ping() -> None:
    """Raises LiveKitUnavailable unless LiveKit answers."""

    async def ask(lkapi: api.LiveKitAPI) -> None:
        await lkapi.room.list_rooms(api.ListRoomsRequest(names=["roomscribe-readiness"]))

    livekit().call(ask, timeout_s=PING_TIMEOUT_S, same="ping")


def send_data(*, room: str, topic: str, data: str) -> None:
    """Tell everybody in the room, in the background."""

    async def send(lkapi: api.LiveKitAPI) -> None:
        await lkapi.room.send_data(
            api.SendDataRequest(room=room, topic=topic, data=data.encode(), kind=api.DataPacket.Kind.RELIABLE)
        )

    livekit().spawn(send, timeout_s=SEND_TIMEOUT_S)


async def _look(lkapi: api.LiveKitAPI, *, room: str, identity: str) -> Seen:
    rooms, person = await asyncio.gather(
        lkapi.room.list_rooms(api.ListRoomsRequest(names=[room])),
        _participant(lkapi, room=room, identity=identity),
    )
    sid = next((found.sid for found in rooms.rooms if found.name == room), None)
    return Seen(
        room_sid=sid,
        is_active=person is not None and _is_active_person(person),
        can_publish=person is not None and person.permission.can_publish,
        joined_at_ms=joined_ms(person) if person is not None else 0,
    )


async def _room_now(lkapi: api.LiveKitAPI, room: api.Room) -> RoomNow:
    listed = await lkapi.room.list_participants(api.ListParticipantsRequest(room=room.name))
    others = frozenset(p.identity for p in listed.participants if not _is_person(p))
    return RoomNow(sid=room.sid, people=len(listed.participants) - len(others), others=others)


async def _participant(lkapi: api.LiveKitAPI, *, room: str, identity: str) -> api.ParticipantInfo | None:
    try:
        return await lkapi.room.get_participant(api.RoomParticipantIdentity(room=room, identity=identity))
    except api.ServerError as exc:
        if exc.code in (api.ServerErrorCode.NOT_FOUND, api.ServerErrorCode.INVALID_ARGUMENT):
            return None
        raise


def joined_ms(person: api.ParticipantInfo) -> int:
    return person.joined_at_ms or person.joined_at * 1000


def _is_active_person(person: api.ParticipantInfo) -> bool:
    return person.state == api.ParticipantInfo.State.ACTIVE and _is_person(person)


def _is_person(person: api.ParticipantInfo) -> bool:
    return person.kind in KINDS_OF_PEOPLE and not person.permission.hidden and not person.permission.agent
