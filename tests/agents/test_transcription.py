"""Which tracks get a pipeline; the room is one of livekit's kind, as much of it as is looked at."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, cast

import pytest
from livekit import rtc

from agents.rooms import transcription as transcription_module
from agents.rooms.changes import Microphone, RoomChanges, microphones
from agents.rooms.participant import ParticipantPipeline
from agents.rooms.progress import Progress
from agents.rooms.transcription import ENDING_AT_MOST, Transcription

MICROPHONE = rtc.TrackSource.SOURCE_MICROPHONE
UNKNOWN = rtc.TrackSource.SOURCE_UNKNOWN
SCREEN = rtc.TrackSource.SOURCE_SCREENSHARE_AUDIO


class Publication:
    kind, encryption_type, muted = rtc.TrackKind.KIND_AUDIO, rtc.EncryptionType.NONE, False

    def __init__(
        self,
        sid: str,
        source: rtc.TrackSource.ValueType = MICROPHONE,
        *,
        track: object = None,
        failures: int = 0,
    ) -> None:
        self.sid, self.source, self.track, self._failures = sid, source, track, failures
        self.subscribed = asyncio.Event()
        self.asked = 0
        self.requests: asyncio.Queue[bool] = asyncio.Queue()

    def set_subscribed(self, wanted: bool) -> None:
        self.asked += 1
        self.requests.put_nowait(wanted)
        if self._failures:
            self._failures -= 1
            raise RuntimeError("not now")
        self.subscribed.set()


class Person:
    kind = rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD

    def __init__(self, *publications: Publication, identity: str = "somebody") -> None:
        self.identity = identity
        self.track_publications = {publication.sid: publication for publication in publications}


class Room(rtc.EventEmitter[Any]):
    def __init__(self, **people: Person) -> None:
        super().__init__()
        self.remote_participants = people


def everybody(_: str) -> bool:
    return True


def changes_of(room: Room, *, wants_captions: Callable[[str], bool] = everybody) -> RoomChanges:
    return RoomChanges(room=cast(rtc.Room, room), screen_share_audio=False, wants_captions=wants_captions)


def heard(*people: Person, screen_share_audio: bool = False) -> list[str]:
    found = microphones(cast(Any, people), screen_share_audio=screen_share_audio, wants_captions=everybody)
    return [microphone.track_sid for microphone in found]


def test_of_one_persons_tracks_two_are_heard_microphones_first() -> None:
    hostile = Person(
        *(Publication(f"u{n}", UNKNOWN) for n in range(50)), *(Publication(f"m{n}") for n in range(50))
    )

    assert heard(hostile, Person(Publication("x", UNKNOWN))) == ["m0", "m1", "x"]
    assert heard(Person(Publication("b", UNKNOWN), Publication("a"))) == ["a", "b"]


def test_the_sound_of_a_shared_screen_counts_for_itself() -> None:
    person = Person(
        Publication("s0", SCREEN), Publication("s1", SCREEN), *(Publication(f"m{n}") for n in range(3))
    )

    assert heard(person) == ["m0", "m1"]
    assert heard(person, screen_share_audio=True) == ["m0", "m1", "s0"]


async def test_a_track_that_cannot_be_taken_up_is_tried_again_and_the_others_do_not_notice() -> None:
    ada, bob = Publication("ada", failures=1), Publication("bob", track=object())
    cyd = Publication("cyd")
    changes = changes_of(Room(ada=Person(ada), bob=Person(bob), cyd=Person(cyd)))
    tried: Counter[str] = Counter()
    again = asyncio.Event()

    def make_pipeline(microphone: Microphone, _: rtc.Track) -> ParticipantPipeline:
        tried[microphone.track_sid] += 1
        if tried[microphone.track_sid] == 2:
            again.set()
        raise RuntimeError("not now")

    transcription = Transcription(changes=changes, make_pipeline=make_pipeline, on_change=lambda: None)
    running = asyncio.create_task(transcription.run())
    async with asyncio.timeout(4):
        await cyd.subscribed.wait()
        await ada.subscribed.wait()
        await again.wait()
    running.cancel()
    await asyncio.wait({running})
    assert running.cancelled()


async def test_a_track_is_asked_for_until_it_is_there() -> None:
    lost = Publication("ada")
    changes = changes_of(Room(ada=Person(lost)))

    def make_pipeline(_: Microphone, __: rtc.Track) -> ParticipantPipeline:
        raise AssertionError("there is no track")

    transcription = Transcription(changes=changes, make_pipeline=make_pipeline, on_change=lambda: None)
    running = asyncio.create_task(transcription.run())
    looks = 0
    async with asyncio.timeout(4):
        while lost.asked < 2:
            looks += 1
            changes.look_again()  # as something happens in the room
            await asyncio.sleep(0.01)
    assert looks > 10  # not at every look
    running.cancel()
    await asyncio.wait({running})


async def test_who_opts_out_is_let_go_of_and_nobody_waits_for_their_words() -> None:
    class Hears:
        """A pipeline that would go on for ever."""

        progress, heard_until_ms = Progress(lambda: None), None

        async def run(self) -> None:
            await asyncio.Event().wait()

    silent: set[str] = set()
    open_, muted, asked_for = (Publication(sid, track=object()) for sid in ("open", "muted", "asked for"))
    muted.muted, asked_for.track = True, None
    room = Room(
        ada=Person(open_, asked_for, muted, identity="ada"), bob=Person(Publication("bob", track=object()))
    )
    changes = changes_of(room, wants_captions=lambda identity: identity not in silent)
    looked: asyncio.Queue[None] = asyncio.Queue()
    transcription = Transcription(
        changes=changes,
        make_pipeline=lambda *_: cast(ParticipantPipeline, Hears()),
        on_change=lambda: looked.put_nowait(None),
    )
    running = asyncio.create_task(transcription.run())
    async with asyncio.timeout(5):
        await asked_for.subscribed.wait()
        assert not transcription.hears_everybody
        silent.add("ada")
        changes.look_again()
        await looked.get()
        assert transcription.hears_everybody
        assert await open_.requests.get() is False
        assert [await asked_for.requests.get(), await asked_for.requests.get()] == [True, False]

        open_.track = None  # as livekit lets go
        silent.clear()
        changes.look_again()
        assert await open_.requests.get() is True
        assert await asked_for.requests.get() is True
    running.cancel()
    await asyncio.wait({running})


async def test_tracks_that_ended_and_still_wait_for_an_engine_are_bounded() -> None:
    class Waits:
        """A pipeline that no engine lets end."""

        def __init__(self) -> None:
            self.progress = Progress(lambda: None)
            self.heard_until_ms = None
            self.is_cancelled = False

        async def run(self) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                self.is_cancelled = True
                cancelled.put_nowait(self)

        def finish(self) -> None:
            pass

    room = Room()
    changes = changes_of(room)
    made: list[Waits] = []
    begun: asyncio.Queue[Waits] = asyncio.Queue()
    cancelled: asyncio.Queue[Waits] = asyncio.Queue()

    def make_pipeline(_: Microphone, __: rtc.Track) -> ParticipantPipeline:
        made.append(Waits())
        begun.put_nowait(made[-1])
        return cast(ParticipantPipeline, made[-1])

    transcription = Transcription(changes=changes, make_pipeline=make_pipeline, on_change=lambda: None)
    running = asyncio.create_task(transcription.run())
    visits = ENDING_AT_MOST + 5
    async with asyncio.timeout(10):
        for visit in range(visits):
            room.remote_participants = {"ada": Person(Publication(f"t{visit}", track=object()))}
            changes.look_again()
            await begun.get()
        for _ in range(visits - 1 - ENDING_AT_MOST):
            await cancelled.get()

    assert [pipeline.is_cancelled for pipeline in made] == [
        n < visits - 1 - ENDING_AT_MOST for n in range(visits)
    ]
    running.cancel()
    await asyncio.wait({running})


async def test_a_job_that_is_to_leave_does_not_wait_for_an_engine_that_says_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Waits:
        def __init__(self) -> None:
            self.progress = Progress(lambda: None)
            self.heard_until_ms = 5

        async def run(self) -> None:
            begun.set()
            await asyncio.Event().wait()

        async def finish_at_pause(self) -> None:
            pass

    monkeypatch.setattr(transcription_module, "LAST_WORDS_S", 0.05)
    begun = asyncio.Event()
    room = Room()
    room.remote_participants = {"ada": Person(Publication("t1", track=object()))}
    changes = changes_of(room)
    transcription = Transcription(
        changes=changes,
        make_pipeline=lambda *_: cast(ParticipantPipeline, Waits()),
        on_change=lambda: None,
    )
    running = asyncio.create_task(transcription.run())
    async with asyncio.timeout(5):
        await begun.wait()
        await transcription.finish()
    running.cancel()
    await asyncio.wait({running})

    assert [heard.until_ms for heard in transcription.heard_until or ()] == [5]
