"""F14, F15, F18: rooms that end and begin anew, people who come and go, and webhooks that cannot be relied on."""

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import psutil
from livekit import api

from tests.support import clips
from tests.support.people import Speaker, joined
from tools.chaos.lab import Lab
from tools.chaos.meeting import PAUSE_S, Meeting, Said
from tools.chaos.steadiness import Steadiness, in_time, seconds_until, told_s
from tools.chaos.table import Seen, row
from tools.chaos.webhook_filter import Treatment, WebhookFilter

GONE_WITHIN_S = 2.0
SERVED_WITHIN_S = 5.0
REPAIRED_WITHIN_S = 30.0
WEBHOOK_PATH = "/api/v1.0/webhooks/livekit/"


def no_lease(lab: Lab, session: str) -> Callable[[], Awaitable[bool]]:
    async def ended() -> bool:
        sql = f"SELECT ended_at FROM leases_session WHERE id = '{session}'"
        return (await asyncio.to_thread(lab.query, sql))[0][0] is not None

    return ended


async def session_of(lab: Lab, room: str) -> str:
    sql = f"SELECT id FROM leases_session WHERE room = '{room}' AND ended_at IS NULL"
    return str((await asyncio.to_thread(lab.query, sql))[0][0])


async def delete_room(lab: Lab, room: str) -> None:
    async with lab.livekit.api() as lkapi:
        await lkapi.room.delete_room(api.DeleteRoomRequest(room=room))


async def is_finished(lab: Lab, room: str) -> bool:
    return any(event.room == room and event.event == "room_finished" for event in lab.events.seen)


@dataclass(frozen=True, kw_only=True)
class Renewal:
    """A room that ended and was made again at once."""

    agent_gone_s: float | None
    lease_closed_s: float | None
    came_unasked: bool
    served_s: float | None

    @property
    def ok(self) -> bool:
        return (
            in_time(self.agent_gone_s, GONE_WITHIN_S)
            and in_time(self.lease_closed_s, GONE_WITHIN_S)
            and not self.came_unasked
            and in_time(self.served_s, SERVED_WITHIN_S)
        )

    def __str__(self) -> str:
        return (
            f"agent gone {told_s(self.agent_gone_s)}, lease closed {told_s(self.lease_closed_s)}, "
            f"{'an agent came unasked' if self.came_unasked else 'nobody came unasked'}, "
            f"new start live {told_s(self.served_s)}"
        )


async def renewed(lab: Lab, end: Callable[[str, Meeting], Awaitable[None]], *, room: str) -> Renewal:
    """Captions run in `room`; `end` ends it; somebody is there again within a second."""
    async with Meeting(lab, room=room) as before:
        await before.begin()
        session = await session_of(lab, room)
        old = {agent.sid for agent in await lab.agents_in(room)}
        await end(room, before)
    ended = time.monotonic()

    async def old_agent_is_gone() -> bool:
        return not {agent.sid for agent in await lab.agents_in(room)} & old

    async with Meeting(lab, room=room) as after:
        made_again_s = time.monotonic() - ended
        if made_again_s > 1:
            raise RuntimeError(f"the room was made again only {made_again_s:.1f} s later")
        gone, closed = await asyncio.gather(
            seconds_until(old_agent_is_gone, timeout_s=10),
            seconds_until(no_lease(lab, session), timeout_s=10),
        )
        came_unasked = bool(await lab.agents_in(room)) or (await after.state()).get("state") != "idle"
        began = time.monotonic()
        answer = await after.start()
        with contextlib.suppress(TimeoutError):
            await after.until_state("live", timeout_s=10)
            return Renewal(
                agent_gone_s=gone and gone + made_again_s,
                lease_closed_s=closed and closed + made_again_s,
                came_unasked=came_unasked,
                served_s=time.monotonic() - began if answer.status == 201 else None,
            )
    return Renewal(agent_gone_s=gone, lease_closed_s=closed, came_unasked=came_unasked, served_s=None)


@row(
    "F14",
    fault="the room is deleted, or its last person leaves it and it ends; made again within 1 s",
    expected="agent gone and lease closed <= 2 s; the new room needs a new start and gets it",
)
async def f14(lab: Lab, *, long: bool, short: bool) -> Seen:
    async def delete(room: str, _: Meeting) -> None:
        await delete_room(lab, room)

    async def everybody_leaves(room: str, meeting: Meeting) -> None:
        for person in (*meeting.speakers, meeting.viewer):
            await person.room.disconnect()
        await seconds_until(lambda: is_finished(lab, room), timeout_s=20)

    deleted = await renewed(lab, delete, room=lab.new_room())
    room = lab.new_room()
    async with lab.livekit.api() as lkapi:  # one that LiveKit does not keep for who may come back
        await lkapi.room.create_room(api.CreateRoomRequest(name=room, empty_timeout=30, departure_timeout=1))
    left = await renewed(lab, everybody_leaves, room=room)
    return Seen(f"deleted: {deleted}; left: {left}", deleted.ok and left.ok)


# F18

TREATMENTS: tuple[Treatment, ...] = ("lose", "double", "mix up", "delay")


@dataclass(frozen=True, kw_only=True)
class Repairs:
    """How long each took with webhooks treated badly; None: never."""

    emptied_s: float | None
    returned_s: float | None
    deleted_s: float | None
    renewed_s: float | None

    @property
    def all(self) -> tuple[float | None, ...]:
        return (self.emptied_s, self.returned_s, self.deleted_s, self.renewed_s)

    @property
    def ok(self) -> bool:
        return all(in_time(took_s, REPAIRED_WITHIN_S) for took_s in self.all)

    def __str__(self) -> str:
        return "/".join("never" if took_s is None else f"{took_s:.1f}" for took_s in self.all)


@contextlib.asynccontextmanager
async def filtered_webhooks(lab: Lab) -> AsyncIterator[WebhookFilter]:
    """LiveKit sends its webhooks to a filter; started again for it, and once more at the end."""
    path = lab.directory / "livekit.json"
    as_it_was = path.read_text()

    async def restart(configuration: str) -> None:
        path.write_text(configuration)
        await asyncio.to_thread(lab.process("livekit").kill)
        await lab.mend()

    with WebhookFilter(lab.url) as webhooks:
        changed = json.loads(as_it_was)
        changed["webhook"]["urls"][0] = f"{webhooks.url}{WEBHOOK_PATH}"
        await restart(json.dumps(changed))
        try:
            yield webhooks
        finally:
            await restart(as_it_was)


async def live_room(lab: Lab, room: str) -> float | None:
    """Somebody joins and starts, unless they run already; how long until they are live."""

    async def is_live() -> bool:
        return (await lab.state(room, "host")).get("state") == "live"

    await lab.start_subtitles(room, "host")
    return await seconds_until(is_live, timeout_s=REPAIRED_WITHIN_S)


async def through_its_life(lab: Lab, room: str) -> Repairs:
    """Started, emptied, returned to, deleted, made again and started again."""

    async def is_live() -> bool:
        return (await lab.state(room, "host")).get("state") == "live"

    async def has_no_agent() -> bool:
        return not await lab.agents_in(room)

    async with joined(lab.livekit, room, "host"):
        if await live_room(lab, room) is None:
            raise RuntimeError("the room did not go live at all")
        first = await session_of(lab, room)
    emptied_s = await seconds_until(has_no_agent, timeout_s=REPAIRED_WITHIN_S)
    async with joined(lab.livekit, room, "host"):
        returned_s = await seconds_until(is_live, timeout_s=REPAIRED_WITHIN_S)
        await delete_room(lab, room)
    deleted_s = await seconds_until(no_lease(lab, first), timeout_s=REPAIRED_WITHIN_S)
    async with joined(lab.livekit, room, "host"):
        renewed_s = await live_room(lab, room)
        return Repairs(emptied_s=emptied_s, returned_s=returned_s, deleted_s=deleted_s, renewed_s=renewed_s)


@row(
    "F18",
    fault="webhooks lost, doubled, mixed up, or delayed by 60 s (LONG: 10 min), and the lost ones replayed in the end",
    expected="emptied, returned to, deleted, made again: each repaired <= 30 s; late and replayed ones do nothing",
)
async def f18(lab: Lab, *, long: bool, short: bool) -> Seen:
    async with filtered_webhooks(lab) as webhooks:
        webhooks.delay_s = 8 if short else 600 if long else 60
        rooms = {treatment: lab.new_room() for treatment in TREATMENTS}
        webhooks.treatments.update({room: treatment for treatment, room in rooms.items()})
        repairs = await asyncio.gather(*(through_its_life(lab, room) for room in rooms.values()))
        async with contextlib.AsyncExitStack() as people:
            for room in rooms.values():
                await people.enter_async_context(joined(lab.livekit, room, "host"))
            for room in rooms.values():
                if await live_room(lab, room) is None:
                    raise RuntimeError("a room is not live in the end")
            steady = [await Steadiness.now(lab, room) for room in rooms.values()]
            none_held = seconds_until(lambda: _holds_none(webhooks), timeout_s=webhooks.delay_s + 30)
            if await none_held is None:
                raise RuntimeError("the filter still holds webhooks")
            replayed = await asyncio.to_thread(webhooks.replay_lost)
            await asyncio.sleep(1)
            changes = [change for each in steady for change in await each.changes()]
        late = max((passed.age_s for passed in webhooks.passed), default=0.0)
        statuses = sorted({passed.status for passed in webhooks.passed})
    each = "; ".join(
        f"{treatment} {repaired}" for treatment, repaired in zip(TREATMENTS, repairs, strict=True)
    )
    text = (
        f"repaired (s) {each}; {len(webhooks.passed)} webhooks of up to {late:.0f} s age answered {statuses}, "
        f"{len(replayed)} of them replayed: {'; '.join(changes) or 'nothing changed'}"
    )
    harmless = not changes and set(statuses) <= {200, 401} and bool(replayed)
    return Seen(text, harmless and all(repaired.ok for repaired in repairs))


async def _holds_none(webhooks: WebhookFilter) -> bool:
    return not webhooks.held


# F15

JOINS, CHURNERS, CHURN_S = 100, 5, 30.0
SHORT = 0.3
MUTES, BURSTS_EACH = 50, 2
LINGER_S = 5.0
"""How long an engine connection is kept after speech, by design."""
FINAL_WITHIN_S = 8.0
MORE_CONNECTIONS = 2
MORE_THREADS, MORE_FDS = 4, 6
"""What pools may have grown by; a leak of one for each of the hundred would be far above."""


@dataclass(kw_only=True)
class Footprint:
    """What a room's job process holds."""

    threads: int
    fds: int
    pipelines: int


class JobProcess:
    """The one that transcribes `room`, found by what it logs."""

    def __init__(self, lab: Lab, room: str) -> None:
        self._room, self._speech_port = room, int(lab.speech_url.rsplit(":", 1)[1])
        name = lab.subtitles_of(room)
        if name is None:
            raise RuntimeError("nobody holds the room")
        self._worker = lab.process(name)
        pids = re.findall(rf'pipeline started .*?pid=(\d+).*?room="{room}"', self._worker.log())
        self._process = psutil.Process(int(pids[-1]))

    def footprint(self) -> Footprint:
        lines = [line for line in self._worker.log().splitlines() if f'room="{self._room}"' in line]
        started, ended = (sum(f"pipeline {what}" in line for line in lines) for what in ("started", "ended"))
        return Footprint(
            threads=self._process.num_threads(), fds=self._process.num_fds(), pipelines=started - ended
        )

    def engine_connections(self) -> int:
        return sum(
            connection.raddr and connection.raddr.port == self._speech_port
            for connection in self._process.net_connections("tcp")
            if connection.status == psutil.CONN_ESTABLISHED
        )


@dataclass(kw_only=True)
class Churn:
    """A meeting in which nobody sits still."""

    meeting: Meeting
    share: float = 1.0
    """Of the default form's joins, mutes and time."""
    joins: int = 0
    mutes: int = 0
    republished: int = 0
    rejoined: int = 0
    most_connections: int = 0
    too_many_connections: int = 0
    one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)
    spoken_until: dict[str, float] = field(default_factory=dict)

    async def burst(self, speaker: Speaker, voice: str) -> None:
        async with self.one_at_a_time:
            said = Said(by=speaker.identity, voice=voice, began_at=time.monotonic())
            self.meeting.said.append(said)
            self.spoken_until[speaker.identity] = float("inf")
            finals = len(self.meeting.viewer.finals(speaker.identity))
            await speaker.say(clips.clip(voice))
            said.ended_at = self.spoken_until[speaker.identity] = time.monotonic()
            await speaker.say(clips.silence(PAUSE_S))
            # Who leaves before the recogniser has said its last word may lose it, by design; nobody does so here.
            with contextlib.suppress(TimeoutError):
                await self.meeting.viewer.until(
                    lambda viewer: len(viewer.finals(speaker.identity)) > finals, timeout_s=FINAL_WITHIN_S
                )

    async def mute_often(self, speaker: Speaker) -> None:
        mutes, bursts = round(MUTES * self.share), max(1, round(BURSTS_EACH * self.share))
        for number in range(1, mutes + 1):
            speaker.mute()
            await asyncio.sleep(0.15)
            speaker.unmute()
            self.mutes += 1
            await speaker.say(clips.silence(0.15))
            if number % (mutes // bursts) == 0:
                await speaker.say(clips.silence(0.5))
                await self.burst(speaker, "kal16")

    async def republish_often(self, speaker: Speaker) -> None:
        for _ in range(max(1, round(BURSTS_EACH * self.share))):
            async with asyncio.timeout(10):
                await speaker.unpublish()
                await asyncio.sleep(0.5)  # at once, livekit's client stumbles over its own negotiation
                await speaker.publish()
            self.republished += 1
            await speaker.say(clips.silence(1.0))
            await self.burst(speaker, "awb")

    async def rejoin_often(self, speaker: Speaker) -> None:
        """As the same person, before the old connection has gone."""
        for _ in range(max(1, round(BURSTS_EACH * self.share))):
            async with Speaker(self.meeting.lab.livekit, self.meeting.room, speaker.identity) as again:
                self.rejoined += 1
                await again.say(clips.silence(1.0))
                await self.burst(again, "kal16")

    async def come_and_go(self, name: str) -> None:
        lab, room = self.meeting.lab, self.meeting.room
        began, each = time.monotonic(), round(JOINS * self.share) // CHURNERS
        for number in range(each):
            if number % 10:
                async with joined(lab.livekit, room, f"{name}-{number}"):
                    self.joins += 1
            else:
                async with Speaker(lab.livekit, room, f"{name}-{number}"):
                    self.joins += 1
            await asyncio.sleep(
                max(0.0, began + (number + 1) * CHURN_S * self.share / each - time.monotonic())
            )

    async def watch(self, job: JobProcess) -> None:
        while True:
            now = time.monotonic()
            held = await asyncio.to_thread(job.engine_connections)
            entitled = sum(until + LINGER_S > now for until in self.spoken_until.values())
            self.most_connections = max(self.most_connections, held)
            self.too_many_connections += held > entitled + MORE_CONNECTIONS
            await asyncio.sleep(0.2)


@row(
    "F15",
    fault="100 joins and leaves in 30 s; one mutes 50 times, one publishes anew, one rejoins as the same person",
    expected="every burst of speech captioned once; engine connections <= speaking + 2; no task, thread or file left",
)
async def f15(lab: Lab, *, long: bool, short: bool) -> Seen:
    people = ("muter", "publisher", "returner")
    async with Meeting(lab, people=people) as meeting:
        churn = Churn(meeting=meeting, share=SHORT if short else 1.0)
        await meeting.start()
        await meeting.until_state("live")
        muter, publisher, returner = meeting.speakers
        await asyncio.gather(*(churn.burst(speaker, "kal16") for speaker in (muter, returner)))
        await meeting.settle()
        job = await asyncio.to_thread(JobProcess, lab, meeting.room)
        steady = await Steadiness.now(lab, meeting.room)
        await asyncio.sleep(LINGER_S + 1)
        before = job.footprint()
        watching = asyncio.create_task(churn.watch(job))
        for _ in range(5 if long else 1):
            began = time.monotonic()
            async with asyncio.timeout(3 * CHURN_S):
                await asyncio.gather(
                    churn.mute_often(muter),
                    churn.republish_often(publisher),
                    churn.rejoin_often(returner),
                    *(churn.come_and_go(f"guest-{number}") for number in range(CHURNERS)),
                )
            took_s = time.monotonic() - began
        await meeting.settle()
        watching.cancel()
        await asyncio.sleep(LINGER_S + 1)
        after = job.footprint()
        words, changes = meeting.integrity(), await steady.changes()
    # The returner has no microphone any more.
    leaks = (after.threads - before.threads, after.fds - before.fds, after.pipelines - (before.pipelines - 1))
    text = (
        f"{churn.joins} joins, {churn.mutes} mutes, {churn.republished} published anew, "
        f"{churn.rejoined} rejoined in {took_s:.0f} s: {words}; at most {churn.most_connections} engine connections, "
        f"{churn.too_many_connections} times too many; "
        f"threads {leaks[0]:+d}, files {leaks[1]:+d}, pipelines {leaks[2]:+d}; {steady.text(changes)}"
    )
    no_leak = leaks[0] <= MORE_THREADS and leaks[1] <= MORE_FDS and leaks[2] <= 0
    return Seen(text, words.is_whole and not churn.too_many_connections and no_leak and not changes)
