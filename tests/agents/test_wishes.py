"""What people wish, before it meets a room."""

from dataclasses import replace
from typing import Any, cast

from livekit import rtc

from agents.rooms.changes import names_of_people
from agents.rooms.wishes import Wishbook
from agents.sinks.backlog import Backlog
from contract.transcripts import Wish, Wishes
from tests.support.finals import final

WISHES = Wishes(
    revision=3,
    people=(Wish(identity="ada", captions=False), Wish(identity="bob", pseudonym="Speaker 1")),
)


def test_only_those_who_wished_are_treated_otherwise_and_only_as_long_as_they_do() -> None:
    book = Wishbook(WISHES)

    assert [book.wants_captions(identity) for identity in ("ada", "bob", "cyd")] == [False, True, True]
    assert [book.shown_name(identity=i, name=i.title()) for i in ("ada", "bob")] == ["Ada", "Speaker 1"]
    book.renew(Wishes(revision=4))
    assert book.revision == 4
    assert book.wants_captions("ada")
    assert book.shown_name(identity="bob", name="Bob") == "Bob"


def test_no_engine_is_told_the_name_of_who_hides_it_or_is_not_heard() -> None:
    class Person:
        kind = rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD

        def __init__(self, identity: str) -> None:
            self.identity, self.name = identity, identity.title()

    class Room:
        def __init__(self, *people: str) -> None:
            self.remote_participants = {identity: Person(identity) for identity in people}

    named = names_of_people(cast(Any, Room("ada", "bob", "cyd")), may_name=Wishbook(WISHES).may_name)
    assert named == ("Cyd",)


def test_what_was_said_under_a_name_is_repeated_under_the_one_shown_now() -> None:
    book = Wishbook(Wishes())
    backlog = Backlog(
        limit=5,
        max_age_ms=10**12,
        shown_name=lambda s: book.shown_name(identity=s.speaker_identity, name=s.speaker_name),
    )
    said = final(speaker="bob")
    backlog.put(said)
    assert backlog.segments(now_ms=0) == [replace(said, is_backlog=True)]
    book.renew(WISHES)

    assert [s.speaker_name for s in backlog.segments(now_ms=0)] == ["Speaker 1"]
