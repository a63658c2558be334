"""`POST /internal/v1/sessions/{session}/segments`: what of that which workers hand in is stored, and how."""

import dataclasses
import datetime
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from backend.leases import services as leases
from backend.leases.models import Session
from backend.meetings import keeping
from backend.meetings.erased import remember_erased
from backend.meetings.keeping import epoch_ms
from backend.meetings.models import KeptPeriod, Meeting, Person
from backend.meetings.services import locked
from backend.meetings.wishes import change_wish
from backend.transcripts.models import Line, LineRevision
from backend.transcripts.pseudonyms import hide_lines
from contract import names
from contract.segments import MAX_TEXT_CHARS, Segment
from contract.shapes import from_value
from contract.status import Reason
from contract.transcripts import SegmentsAnswer, SegmentsBatch
from contract.workers import ClaimRequest
from tests.backend.conftest import WorkerApi
from tests.backend.test_leases_together import AT_ONCE, all_at_once

pytestmark = pytest.mark.django_db(transaction=True)

NOON = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)
NOON_MS = epoch_ms(NOON)


@pytest.fixture
def session(worker_api: WorkerApi) -> Session:
    """With a transcript that is kept since noon."""
    made, _ = leases.open_session(
        room="r", room_sid="RM_1", language="en", engine="embedded", started_by="ada"
    )
    worker_api.post(names.PATH_CLAIM.format(session=made.pk), ClaimRequest(generation=1))
    keeping.begin_keeping(made.meeting)
    Meeting.objects.update(kept_since=NOON)
    KeptPeriod.objects.update(since=NOON)
    made.refresh_from_db()
    return made


def final(text: str = "good morning", *, at_ms: int = 5_000, **changes: Any) -> Segment:
    """Said so long after noon, for a second."""
    of_all = {
        "id": str(uuid.uuid4()),
        "track_sid": "TR_1",
        "sequence": 1,
        "revision": 3,
        "is_final": True,
        "speaker_identity": "ada",
        "speaker_name": "Ada",
        "language": "en",
        "start_ms": NOON_MS + at_ms,
        "end_ms": NOON_MS + at_ms + 1_000,
        "engine": "embedded",
        "text": text,
    }
    return Segment(**{**of_all, **changes})


def hand_in(worker: WorkerApi, session: Session, *segments: Segment, generation: int = 1) -> tuple[int, ...]:
    """How many are stored, known, refused."""
    batch = SegmentsBatch(generation=generation, segments=segments)
    answer = worker.post(names.PATH_SEGMENTS.format(session=session.pk), batch)
    assert answer.status_code == 200, answer.content
    told = from_value(SegmentsAnswer, answer.json())
    return told.stored, told.known, told.refused


def test_a_final_is_stored_as_it_was_said(worker_api: WorkerApi, session: Session) -> None:
    said = final("bonjour à tous", sequence=7, language="fr")

    assert hand_in(worker_api, session, said) == (1, 0, 0)

    line = Line.objects.select_related("person").get()
    assert (line.text, line.language, line.engine, line.revision, line.sequence) == (
        "bonjour à tous",
        "fr",
        "embedded",
        3,
        7,
    )
    assert (str(line.segment_id), line.start_ms, line.end_ms) == (said.id, said.start_ms, said.end_ms)
    assert (line.speaker_identity, line.speaker_name, line.person.identity) == ("ada", "Ada", "ada")
    assert (line.meeting, line.session, line.generation, line.change) == (session.meeting, session, 1, 1)


def test_what_comes_again_in_any_order_and_from_any_worker_is_stored_once(
    worker_api: WorkerApi, session: Session, settings: Any
) -> None:
    first, second = final("one"), final("two", sequence=2)
    other = WorkerApi(settings.INTERNAL_API_SECRET, name="another")

    assert hand_in(worker_api, session, first, second, first) == (2, 1, 0)
    assert hand_in(other, session, second, first) == (0, 2, 0)

    assert sorted(Line.objects.values_list("text", "change")) == [("one", 1), ("two", 2)]


@pytest.mark.parametrize("one_by_one", [True, False])
def test_a_higher_revision_replaces_and_a_lower_one_does_not(
    worker_api: WorkerApi, session: Session, one_by_one: bool
) -> None:
    said = final("good morning", revision=2)
    later = dataclasses.replace(said, revision=4, text="Good morning.", end_ms=said.end_ms + 500)
    batches = [[said], [later], [said]] if one_by_one else [[said, later, said]]

    told = [hand_in(worker_api, session, *batch) for batch in batches]

    assert tuple(map(sum, zip(*told, strict=True))) == (2, 1, 0)
    line = Line.objects.get()
    assert (line.text, line.revision, line.change, line.end_ms) == ("Good morning.", 4, 2, later.end_ms)
    assert LineRevision.objects.values_list("line", "revision", "text").get() == (line.pk, 2, "good morning")
    assert Meeting.objects.get().last_change == 2


HOSTILE: dict[str, dict[str, Any]] = {
    "an interim": {"is_final": False},
    "an id that is no UUID": {"id": "1 OR 1=1"},
    "an id of nothing": {"id": ""},
    "an id of NUL": {"id": "\0"},
    "a text of NUL": {"text": "a\0b"},
    "a text with half a surrogate pair": {"text": "a\ud800b"},
    "a text too long": {"text": "x" * (MAX_TEXT_CHARS + 1)},
    "no words": {"text": " \u2028"},
    "a sequence of 0": {"sequence": 0},
    "a negative sequence": {"sequence": -5},
    "a sequence beyond counting": {"sequence": 2**63},
    "a negative revision": {"revision": -1},
    "a revision beyond counting": {"revision": 2**31},
    "an end before the start": {"end_ms": NOON_MS + 4_000},
    "a start before all time": {"start_ms": -1},
    "an end after all time": {"end_ms": 2**63},
    "nobody": {"speaker_identity": ""},
    "somebody with NUL": {"speaker_identity": "a\0"},
    "an identity too long": {"speaker_identity": "é" * 257},
    "a language too long": {"language": "x" * 36},
    "an engine too long": {"engine": "x" * 65},
    "a track too long": {"track_sid": "x" * 65},
}


@pytest.mark.parametrize("changes", HOSTILE.values(), ids=HOSTILE)
def test_what_no_agent_of_ours_would_say_is_refused_and_the_rest_is_stored(
    worker_api: WorkerApi, session: Session, changes: dict[str, Any]
) -> None:
    batch = SegmentsBatch(generation=1, segments=(final(**changes), final("sound", sequence=2)))
    in_ascii = json.dumps(dataclasses.asdict(batch))  # half a surrogate pair cannot be written otherwise

    answer = worker_api.post(names.PATH_SEGMENTS.format(session=session.pk), in_ascii)

    assert (answer.status_code, answer.json()["stored"], answer.json()["refused"]) == (200, 1, 1)
    assert Line.objects.get().text == "sound"
    assert Person.objects.get().identity == "ada"


def test_the_longest_that_is_allowed_is_stored(worker_api: WorkerApi, session: Session) -> None:
    said = final("名" * MAX_TEXT_CHARS, speaker_identity="é" * 256, language="x" * 35, engine="y" * 64)

    assert hand_in(worker_api, session, said) == (1, 0, 0)


def test_a_name_that_no_database_holds_costs_nobody_their_line(
    worker_api: WorkerApi, session: Session
) -> None:
    assert hand_in(worker_api, session, final(speaker_name="A\0da" + "x" * 300)) == (1, 0, 0)

    assert Line.objects.get().speaker_name == ("Ada" + "x" * 300)[:256]


def test_an_id_stays_one_speakers(worker_api: WorkerApi, session: Session) -> None:
    said = final()
    hand_in(worker_api, session, said)

    taken_over = dataclasses.replace(said, revision=9, speaker_identity="mallory", text="never said")

    assert hand_in(worker_api, session, taken_over) == (0, 0, 1)
    assert (Line.objects.get().text, Line.objects.get().speaker_identity) == (said.text, "ada")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (SegmentsBatch(generation=0, segments=()), 400),
        (SegmentsBatch(generation=2, segments=()), 400),
        (SegmentsBatch(generation=1, segments=tuple(final() for _ in range(101))), 400),
        (SegmentsBatch(generation=1, segments=()), 200),
        ("{", 400),
        ('{"generation": 1, "segments": [{}]}', 400),
        ('{"generation": 1, "segments": [5]}', 400),
        ('{"generation": true, "segments": []}', 400),
        ("[" * 10_000, 400),
        ('{"generation": 1, "segments": [], "x": "' + "x" * 1_000_001 + '"}', 400),
    ],
)
def test_a_batch_of_another_shape_is_a_bad_request(
    worker_api: WorkerApi, session: Session, body: Any, status: int
) -> None:
    answer = worker_api.post(names.PATH_SEGMENTS.format(session=session.pk), body)

    assert answer.status_code == status
    assert not Line.objects.exists()


def test_an_unknown_session_is_404_and_a_stranger_is_401(worker_api: WorkerApi, session: Session) -> None:
    batch = SegmentsBatch(generation=1, segments=(final(),))
    unknown = worker_api.post(names.PATH_SEGMENTS.format(session=uuid.uuid4()), batch)
    stranger = WorkerApi("another-secret-" + "x" * 32).post(
        names.PATH_SEGMENTS.format(session=session.pk), batch
    )

    assert (unknown.status_code, unknown.json()["code"]) == (404, "transcript_absent")
    assert (stranger.status_code, stranger.json()["code"]) == (401, "internal_token_refused")
    assert not Line.objects.exists()


def test_what_an_earlier_generation_wrote_down_is_taken_after_the_session_has_ended(
    worker_api: WorkerApi, session: Session
) -> None:
    leases.next_generation(session, reason=Reason.WORKER_LOST)
    session.refresh_from_db()
    leases.end_session(session)
    keeping.end(session.meeting)

    assert hand_in(worker_api, session, final(), generation=1) == (1, 0, 0)
    assert hand_in(worker_api, session, final(sequence=2), generation=2) == (1, 0, 0)


@pytest.mark.parametrize(
    ("start_ms", "end_ms", "is_stored"),
    [
        (-2_000, -1_000, False),
        (-2_000, 0, False),
        (-2_000, 1, True),
        (59_999, 70_000, True),
        (60_000, 70_000, False),
        (90_000, 99_000, False),
        (119_000, 121_000, True),
    ],
)
def test_kept_is_what_overlaps_a_period_of_keeping(
    worker_api: WorkerApi, session: Session, start_ms: int, end_ms: int, is_stored: bool
) -> None:
    """From noon for a minute, and again a minute later."""
    KeptPeriod.objects.update(until=NOON + datetime.timedelta(minutes=1))
    KeptPeriod.objects.create(meeting=session.meeting, since=NOON + datetime.timedelta(minutes=2))

    said = final(start_ms=NOON_MS + start_ms, end_ms=NOON_MS + end_ms)

    assert hand_in(worker_api, session, said) == ((1, 0, 0) if is_stored else (0, 0, 1))
    assert Line.objects.exists() == Person.objects.exists() == is_stored


def test_where_no_transcript_was_kept_nothing_is_stored(worker_api: WorkerApi, session: Session) -> None:
    KeptPeriod.objects.all().delete()
    assert hand_in(worker_api, session, final()) == (0, 0, 1)

    Meeting.objects.all().delete()
    assert hand_in(worker_api, session, final()) == (0, 0, 1)


def test_what_was_said_before_the_record_was_erased_is_refused(
    worker_api: WorkerApi, session: Session
) -> None:
    Meeting.objects.update(erased_at=NOON + datetime.timedelta(seconds=10))

    assert hand_in(worker_api, session, final(at_ms=9_500), final(at_ms=10_001, sequence=2)) == (1, 0, 1)


def test_what_a_speaker_had_erased_does_not_come_back_and_the_others_words_stay(
    worker_api: WorkerApi, session: Session
) -> None:
    remember_erased(session.meeting, "ada", until=NOON + datetime.timedelta(seconds=10))
    before, after = final(at_ms=9_500), final(at_ms=10_001, sequence=2)
    others = final(at_ms=9_500, sequence=3, speaker_identity="bob")

    assert hand_in(worker_api, session, before, after, others) == (2, 0, 1)


def wish(session: Session, **of: Any) -> Person:
    with locked(session.meeting) as meeting:
        return change_wish(meeting, "ada", **of)


def test_who_hides_their_name_is_stored_under_the_pseudonym_alone(
    worker_api: WorkerApi, session: Session
) -> None:
    wish(session, hides_name=True)

    hand_in(worker_api, session, final(speaker_name="Speaker 1"), final(sequence=2))

    assert set(Line.objects.values_list("speaker_identity", "speaker_name")) == {("speaker-1", "Speaker 1")}


def test_what_was_captioned_under_a_pseudonym_is_stored_under_it_though_the_name_is_shown_again(
    worker_api: WorkerApi, session: Session
) -> None:
    wish(session, hides_name=True)
    wish(session, hides_name=False)

    hand_in(worker_api, session, final(speaker_name="Speaker 1"), final(sequence=2))

    shown = Line.objects.order_by("sequence").values_list("speaker_identity", "speaker_name")
    assert list(shown) == [("speaker-1", "Speaker 1"), ("ada", "Ada")]


def test_of_who_opted_out_only_what_was_said_before_is_stored(
    worker_api: WorkerApi, session: Session
) -> None:
    wish(session, captions=False)
    Person.objects.update(opted_out_at=NOON + datetime.timedelta(seconds=10))
    before, under_way = final(at_ms=8_000), final(at_ms=9_500, sequence=2)

    assert hand_in(worker_api, session, before, under_way) == (1, 0, 1)
    assert str(Line.objects.get().segment_id) == before.id


def test_a_full_batch_is_a_few_questions_and_a_few_milliseconds(
    worker_api: WorkerApi, session: Session, django_assert_max_num_queries: Any
) -> None:
    batches = [
        [final(f"words of a sentence, {n}", sequence=n, speaker_identity=f"p{n % 10}") for n in range(1, 101)]
        for _ in range(5)
    ]
    with django_assert_max_num_queries(13):
        assert hand_in(worker_api, session, *batches[0]) == (100, 0, 0)

    took_s = []
    for batch in batches[1:]:
        began_s = time.process_time()  # ours alone, on a machine that does much else
        hand_in(worker_api, session, *batch)
        took_s.append(time.process_time() - began_s)

    assert min(took_s) < 0.05


def test_workers_that_hand_in_the_same_at_once_store_it_once_and_are_all_answered(
    worker_api: WorkerApi, session: Session
) -> None:
    batch = [final(f"line {n}", sequence=n, speaker_identity=f"p{n % 5}") for n in range(1, 31)]

    told = all_at_once(lambda number: hand_in(worker_api, session, *batch[number:], *batch[:number]))

    assert tuple(map(sum, zip(*told, strict=True))) == (30, 30 * (AT_ONCE - 1), 0)
    changes = sorted(Line.objects.values_list("change", flat=True))
    assert changes == list(range(1, 31))


def test_a_name_hidden_while_lines_come_in_stands_on_none_of_them(
    worker_api: WorkerApi, session: Session, hide_lines_too: Callable[[], None]
) -> None:
    def do(number: int) -> None:
        if number == AT_ONCE - 1:
            hide_lines_too()
        else:
            said = [final(f"line {number}.{n}", sequence=number * 100 + n + 1) for n in range(10)]
            hand_in(worker_api, session, *said)

    all_at_once(do)

    shown = Line.objects.values_list("speaker_identity", "speaker_name")
    assert (len(shown), set(shown)) == (10 * (AT_ONCE - 1), {("speaker-1", "Speaker 1")})
    changes = list(Line.objects.values_list("change", flat=True))
    assert len(set(changes)) == len(changes) and max(changes) == Meeting.objects.get().last_change


@pytest.fixture
def hide_lines_too(session: Session) -> Callable[[], None]:
    def hide() -> None:
        with locked(session.meeting) as meeting:
            hide_lines(meeting, change_wish(meeting, "ada", hides_name=True))

    return hide


def test_the_clock_says_when_it_was_stored(worker_api: WorkerApi, session: Session) -> None:
    before = timezone.now()
    hand_in(worker_api, session, final())

    assert before <= Line.objects.get().stored_at <= timezone.now()
