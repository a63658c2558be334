"""Which tracks get a pipeline; the room is one of livekit's kind, as much of it as is looked at."""

import asyncio
from collections import Counter
from typing import Any, cast

from livekit import rtc

from agents.rooms.changes import Microphone, RoomChanges, microphones
from agents.rooms.participant import ParticipantPipeline
from agents.rooms.transcription import Transcription

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

    def set_subscribed(self, _: bool) -> None:
        self.asked += 1
        if self._failures:
            self._failures -= 1
            raise RuntimeError("not now")
        self.subscribed.set()


class Person:
    kind = rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD

    def __init__(self, *publications: Publication) -> None:
        self.track_publications = {publication.sid: publication for publication in publications}


class Room(rtc.EventEmitter[Any]):
    def __init__(self, **people: Person) -> None:
        super().__init__()
        self.remote_participants = people


def heard(*people: Person, screen_share_audio: bool = False) -> list[str]:
    found = microphones(cast(Any, people), screen_share_audio=screen_share_audio)
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
    changes = RoomChanges(
        room=cast(rtc.Room, Room(ada=Person(ada), bob=Person(bob), cyd=Person(cyd))), screen_share_audio=False
    )
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
    changes = RoomChanges(room=cast(rtc.Room, Room(ada=Person(lost))), screen_share_audio=False)

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
