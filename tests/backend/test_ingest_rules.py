"""The rules of the record, against a model that knows no database: whatever comes, in whatever order, and through HTTP.

A real room with real people; sessions, generations and finals are made up as workers would have handed them in.
"""

import dataclasses
import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import cache
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from livekit import api as livekit_api

from backend.leases import services as leases
from backend.leases.models import Session
from backend.meetings.keeping import epoch_ms, periods_of
from backend.meetings.models import Meeting, Person
from backend.throttles.models import Count
from backend.transcripts.models import Line, LineRevision
from contract.names import PATH_SEGMENTS
from contract.segments import Segment
from contract.transcripts import SegmentsBatch
from tests.backend.conftest import Api, WorkerApi
from tests.support.livekit import LiveKitServer

pytestmark = pytest.mark.django_db(transaction=True)

PEOPLE = ("ada", "ben")
GENERATIONS = 2
HOUR_MS = 3_600_000
SAID_MS: dict[str, tuple[int, int]] = {
    "lately": (HOUR_MS, HOUR_MS + 400),
    "across": (-1, 1),
    "from": (0, 400),
    "until": (-400, 0),
    "long ago": (-HOUR_MS, -HOUR_MS + 400),
}
"""When a final began and ended, from a moment at which something was switched or erased on."""
WHEN = st.sampled_from(["lately"] * 4 + list(SAID_MS))
WORDS = st.text(alphabet="abcä ", min_size=1, max_size=8).map(str.strip).filter(bool)


@dataclasses.dataclass
class Known:
    """A line as it has to be stored."""

    final: Segment
    change: int
    revision: int
    text: str
    identity: str
    name: str
    is_corrected: bool = False
    replaced: list[tuple[int, str]] = dataclasses.field(default_factory=list)

    def told(self) -> dict[str, Any]:
        return {
            "id": self.final.id,
            "change": self.change,
            "revision": self.revision,
            "text": self.text,
            "sequence": self.final.sequence,
            "start_ms": self.final.start_ms,
            "speaker_identity": self.identity,
            "speaker_name": self.name,
            "corrected": self.is_corrected,
        }


@dataclasses.dataclass
class Reader:
    """Somebody who asks for what has changed, at times of their own."""

    lines: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    since: int = 0


class Rules(RuleBasedStateMachine):
    admin: Api
    everybody: dict[str, Api]
    worker: WorkerApi
    room: str
    room_sid: str

    @initialize()
    def begin(self) -> None:
        for rows in (Session, Meeting, Count):
            rows.objects.all().delete()
        cache.clear()
        self.session, _ = leases.open_session(
            room=self.room, room_sid=self.room_sid, language="en", engine="embedded", started_by="ada"
        )
        Session.objects.filter(pk=self.session.pk).update(generation=GENERATIONS)
        self.said: list[Segment] = []
        self.lines: dict[str, Known] = {}
        self.erased: int | None = None
        """How many lines the last receipt told of."""
        self.last_change = 0
        self.readers = [Reader(), Reader()]
        self.switch(keep=True)

    # What comes

    @rule(keep=st.booleans())
    def switch(self, keep: bool) -> None:
        assert self._call(self.admin, "PUT", f"rooms/{self.room}/transcript/", {"keep": keep})[
            "transcript"
        ] == ("on" if keep else "off")

    @rule(data=st.data(), who=st.sampled_from(PEOPLE), text=WORDS, when=WHEN)
    def say(self, data: st.DataObject, who: str, text: str, when: str) -> None:
        """A final; it is handed in, or left for later."""
        at_ms = data.draw(st.sampled_from(self._moments()))
        self.said.append(
            Segment(
                id=str(uuid.uuid4()),
                track_sid=f"TR_{who}",
                sequence=len(self.said) + 1,
                revision=data.draw(st.integers(1, 3)),
                is_final=True,
                speaker_identity=who,
                speaker_name=data.draw(st.sampled_from([who.title(), *self._pseudonyms(who)])),
                language="en",
                start_ms=at_ms + SAID_MS[when][0],
                end_ms=at_ms + SAID_MS[when][1],
                engine="embedded",
                text=text,
            )
        )
        if data.draw(st.booleans()):
            self._hand_in([self.said[-1]], generation=1)

    @precondition(lambda self: self.said)
    @rule(data=st.data(), generation=st.integers(1, GENERATIONS))
    def hand_in(self, data: st.DataObject, generation: int) -> None:
        """Any of them, again and again, in any order, also in another revision, also much later."""
        picked = data.draw(
            st.lists(st.tuples(st.sampled_from(self.said), st.integers(-1, 2)), min_size=1, max_size=6)
        )
        self._hand_in([_revised(final, by=by) for final, by in picked], generation=generation)

    @precondition(lambda self: self.said)
    @rule(data=st.data(), generation=st.sampled_from([0, GENERATIONS + 1]))
    def hand_in_as_nobody(self, data: st.DataObject, generation: int) -> None:
        batch = SegmentsBatch(generation=generation, segments=(data.draw(st.sampled_from(self.said)),))
        assert self._post(batch).status_code == 400

    @precondition(lambda self: self.said)
    @rule(data=st.data())
    def hand_in_an_interim(self, data: st.DataObject) -> None:
        interim = dataclasses.replace(data.draw(st.sampled_from(self.said)), is_final=False, revision=99)
        answer = self._post(SegmentsBatch(generation=1, segments=(interim,)))
        assert answer.status_code == 400 or answer.json()["stored"] == 0

    @precondition(lambda self: self.lines)
    @rule(data=st.data(), text=WORDS)
    def correct(self, data: st.DataObject, text: str) -> None:
        line = self.lines[data.draw(st.sampled_from(sorted(self.lines)))]
        told = self._call(self.admin, "PATCH", f"rooms/{self.room}/segments/{line.final.id}/", {"text": text})
        if text != line.text:
            self._replace(line, revision=line.revision + 1, text=text, is_corrected=True)
        assert (told["revision"], told["text"]) == (line.revision, text)

    @rule(who=st.sampled_from(PEOPLE), hides=st.booleans())
    def hide_name(self, who: str, hides: bool) -> None:
        self._call(
            self.everybody[who], "PUT", f"rooms/{self.room}/me/", {"name": "hidden" if hides else "shown"}
        )
        identity, name = self._shown(who, "")
        for line in sorted(self.lines.values(), key=lambda line: line.change) if hides else ():
            if line.final.speaker_identity == who and line.identity != identity:
                line.identity, line.name, line.revision = identity, name, line.revision + 1
                line.change = self._next_change()

    @rule(who=st.sampled_from(PEOPLE), captions=st.booleans())
    def opt_out(self, who: str, captions: bool) -> None:
        self._call(self.everybody[who], "PUT", f"rooms/{self.room}/me/", {"captions": captions})

    @rule()
    def erase(self) -> None:
        receipt = self._call(self.admin, "DELETE", f"rooms/{self.room}/transcript/")
        # Where nothing was stored since the last time, that time's receipt comes again.
        if self.lines or self.erased is None:
            self.erased = len(self.lines)
        assert receipt["erased"]["segments"] == self.erased
        self.lines.clear()
        for reader in self.readers:
            reader.lines.clear()

    @rule(data=st.data(), limit=st.integers(1, 3))
    def read(self, data: st.DataObject, limit: int) -> None:
        self._read(data.draw(st.sampled_from(self.readers)), limit=limit)

    # What has to hold

    @invariant()
    def what_is_stored_is_what_the_model_has(self) -> None:
        if not hasattr(self, "session"):
            return
        lines = Line.objects.filter(meeting=self.meeting).values_list(
            "segment_id",
            "change",
            "revision",
            "text",
            "speaker_identity",
            "speaker_name",
            "is_corrected",
            "sequence",
        )
        assert {str(id): line for id, *line in lines} == {
            id: [
                line.change,
                line.revision,
                line.text,
                line.identity,
                line.name,
                line.is_corrected,
                line.final.sequence,
            ]
            for id, line in self.lines.items()
        }
        history = LineRevision.objects.filter(line__meeting=self.meeting)
        assert sorted(history.values_list("line__segment_id", "revision", "text")) == sorted(
            (uuid.UUID(id), *one) for id, line in self.lines.items() for one in line.replaced
        )
        assert self.meeting.last_change == self.last_change

    def teardown(self) -> None:
        for reader in self.readers if hasattr(self, "session") else ():
            while self._read(reader, limit=2):
                pass
            assert reader.lines == {id: line.told() for id, line in self.lines.items()}

    # How

    @property
    def meeting(self) -> Meeting:
        return Meeting.objects.get(pk=self.session.meeting_id)

    def _moments(self) -> list[int]:
        meeting = self.meeting
        switched = [ms for period in periods_of(meeting) for ms in (period.since_ms, period.until_ms) if ms]
        erased = [epoch_ms(meeting.erased_at)] if meeting.erased_at else []
        return [*switched, *erased, epoch_ms(meeting.began_at)]

    def _person(self, who: str) -> Person | None:
        return Person.objects.filter(meeting=self.meeting, identity=who).first()

    def _pseudonyms(self, who: str) -> list[str]:
        person = self._person(who)
        return [f"Speaker {person.number}"] if person and person.number else []

    def _shown(self, who: str, name: str) -> tuple[str, str]:
        person = self._person(who)
        if person and person.number and (person.hides_name or name == f"Speaker {person.number}"):
            return f"speaker-{person.number}", f"Speaker {person.number}"
        return who, name

    def _is_kept(self, final: Segment) -> bool:
        meeting, person = self.meeting, self._person(final.speaker_identity)
        if meeting.erased_at and final.start_ms <= epoch_ms(meeting.erased_at):
            return False
        if person and person.opted_out_at and final.end_ms > epoch_ms(person.opted_out_at):
            return False
        return any(
            final.end_ms > period.since_ms and (period.until_ms is None or final.start_ms < period.until_ms)
            for period in periods_of(meeting)
        )

    def _hand_in(self, finals: list[Segment], *, generation: int) -> None:
        kept = [final for final in finals if self._is_kept(final)]
        answer = self._post(SegmentsBatch(generation=generation, segments=tuple(finals)))
        assert answer.status_code == 200, answer.content
        stored = sum(self._take(final) for final in kept)
        told = answer.json()
        assert (told["stored"], told["known"], told["refused"]) == (
            stored,
            len(kept) - stored,
            len(finals) - len(kept),
        )

    def _take(self, final: Segment) -> bool:
        line = self.lines.get(final.id)
        if line is None:
            identity, name = self._shown(final.speaker_identity, final.speaker_name)
            self.lines[final.id] = Known(
                final=final,
                change=self._next_change(),
                revision=final.revision,
                text=final.text,
                identity=identity,
                name=name,
            )
            return True
        if final.revision <= line.revision:
            return False
        self._replace(line, revision=final.revision, text=final.text, is_corrected=line.is_corrected)
        return True

    def _replace(self, line: Known, *, revision: int, text: str, is_corrected: bool) -> None:
        line.replaced.append((line.revision, line.text))
        line.revision, line.text, line.is_corrected = revision, text, is_corrected
        line.change = self._next_change()

    def _next_change(self) -> int:
        self.last_change += 1
        return self.last_change

    def _read(self, reader: Reader, *, limit: int) -> bool:
        """Whether there was anything."""
        path = f"rooms/{self.room}/segments/?since={reader.since}&limit={limit}"
        told = self._call(self.admin, "GET", path)
        changes = [reader.since, *(segment["change"] for segment in told["segments"])]
        assert changes == sorted(set(changes)) and told["next"] == changes[-1]
        reader.since = told["next"]
        for segment in told["segments"]:
            reader.lines[segment["id"]] = {name: segment[name] for name in _TOLD}
        return bool(told["segments"])

    def _call(self, api: Api, method: str, path: str, body: object = None) -> Any:
        Count.objects.all().delete()  # nobody is that busy in a minute
        answer = api.call(method, path, body)
        assert answer.status_code == 200, (method, path, answer.status_code, answer.content)
        return json.loads(answer.content)

    def _post(self, batch: SegmentsBatch) -> Any:
        return self.worker.post(PATH_SEGMENTS.format(session=self.session.pk), batch)


_TOLD = (
    "id",
    "change",
    "revision",
    "text",
    "sequence",
    "start_ms",
    "speaker_identity",
    "speaker_name",
    "corrected",
)


def _revised(final: Segment, *, by: int) -> Segment:
    revision = max(0, final.revision + by)
    return dataclasses.replace(
        final, revision=revision, text=f"{final.text} {revision}" if by else final.text
    )


async def _sid_of(livekit: LiveKitServer, room: str) -> str:
    async with livekit.api() as lkapi:
        listed = await lkapi.room.list_rooms(livekit_api.ListRoomsRequest(names=[room]))
    return listed.rooms[0].sid


@pytest.mark.timeout(120)
def test_whatever_comes_is_stored_once_in_order_and_read_without_a_gap(
    as_participant: Callable[..., Api],
    worker_api: WorkerApi,
    livekit: LiveKitServer,
    room_name: str,
    people: Any,
) -> None:
    here = type(
        "Here",
        (Rules,),
        {
            "admin": as_participant("admin", room_admin=True),
            "everybody": {who: as_participant(who) for who in PEOPLE},
            "worker": worker_api,
            "room": room_name,
            "room_sid": people.do(_sid_of(livekit, room_name)),
        },
    )
    run_state_machine_as_test(
        here,
        settings=settings(
            max_examples=20,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            # A failure would be made smaller at another time, at which it may be none.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
