"""Who can be heard in the room: LiveKit's events, merged into "look again".

Events only say that something changed; what is wanted is always read from the room as it is now. So no event
can be lost or come in a wrong order, and nothing has to be queued.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass

from livekit import rtc
from livekit.rtc.room import EventTypes

HEARD_KINDS = frozenset(
    {
        rtc.ParticipantKind.PARTICIPANT_KIND_STANDARD,
        rtc.ParticipantKind.PARTICIPANT_KIND_SIP,
        rtc.ParticipantKind.PARTICIPANT_KIND_INGRESS,
        rtc.ParticipantKind.PARTICIPANT_KIND_CONNECTOR,
    }
)
"""People. Never agents or egress."""
MICROPHONE_SOURCES = (rtc.TrackSource.SOURCE_MICROPHONE, rtc.TrackSource.SOURCE_UNKNOWN)
"""The likelier to be one first."""
SCREEN_SOURCES = (rtc.TrackSource.SOURCE_SCREENSHARE_AUDIO,)
MICROPHONES_PER_PERSON = 2
SCREENS_PER_PERSON = 1
"""Each track may take one of the engine's sessions, and a participant can publish any number of tracks."""

EVENTS: tuple[EventTypes, ...] = (
    "participant_connected",
    "participant_disconnected",
    "participant_encryption_status_changed",
    "track_published",
    "track_unpublished",
    "track_subscribed",
    "track_subscription_failed",
    "track_unsubscribed",
    "track_muted",
    "track_unmuted",
    "reconnected",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Microphone:
    """One audio track, as it is now; `is_wanted` is false where its speaker does not want to be heard."""

    participant: rtc.RemoteParticipant
    publication: rtc.RemoteTrackPublication
    is_wanted: bool = True

    @property
    def track_sid(self) -> str:
        """Of the publication."""
        return self.publication.sid

    @property
    def is_encrypted(self) -> bool:
        """End to end: nobody but the participants can hear it."""
        return self.publication.encryption_type != rtc.EncryptionType.NONE


class RoomChanges:
    """Iterate to get the microphones whenever something has changed; merges what comes faster than it is read."""

    def __init__(
        self, *, room: rtc.Room, screen_share_audio: bool, wants_captions: Callable[[str], bool]
    ) -> None:
        self._room, self._screen_share_audio = room, screen_share_audio
        self.wants_captions = wants_captions
        """Asked for each participant, by identity, at each look."""
        self._has_changed = asyncio.Event()
        self._has_changed.set()
        for event in EVENTS:
            room.on(event, self.look_again)

    def look_again(self, *_: object) -> None:
        """As if something had changed."""
        self._has_changed.set()

    async def __aiter__(self) -> AsyncIterator[tuple[Microphone, ...]]:
        while True:
            await self._has_changed.wait()
            self._has_changed.clear()
            yield tuple(
                microphones(
                    self._room.remote_participants.values(),
                    screen_share_audio=self._screen_share_audio,
                    wants_captions=self.wants_captions,
                )
            )

    def close(self) -> None:
        """No more events."""
        for event in EVENTS:
            self._room.off(event, self.look_again)


def microphones(
    participants: Iterable[rtc.RemoteParticipant],
    *,
    screen_share_audio: bool,
    wants_captions: Callable[[str], bool],
) -> Iterable[Microphone]:
    """The audio tracks of people, muted ones too; of each person only a few, but all that are not wanted."""
    for participant in participants:
        if participant.kind not in HEARD_KINDS:
            continue
        if not wants_captions(participant.identity):
            for publication in _audio(participant, (*MICROPHONE_SOURCES, *SCREEN_SOURCES)):
                yield Microphone(participant=participant, publication=publication, is_wanted=False)
            continue
        heard = _audio(participant, MICROPHONE_SOURCES)[:MICROPHONES_PER_PERSON]
        if screen_share_audio:
            heard += _audio(participant, SCREEN_SOURCES)[:SCREENS_PER_PERSON]
        for publication in heard:
            yield Microphone(participant=participant, publication=publication)


def _audio(
    participant: rtc.RemoteParticipant, sources: Sequence[rtc.TrackSource.ValueType]
) -> list[rtc.RemoteTrackPublication]:
    """By source, and then as they were published, so that a new track does not displace one that is heard."""
    return [
        publication
        for source in sources
        for publication in participant.track_publications.values()
        if publication.kind == rtc.TrackKind.KIND_AUDIO and publication.source == source
    ]


def names_of_people(room: rtc.Room, *, may_name: Callable[[str], bool]) -> tuple[str, ...]:
    """As they call themselves, but for identities that may not be named; identities are no names."""
    people = [person for person in room.remote_participants.values() if person.kind in HEARD_KINDS]
    return tuple(person.name for person in people if person.name and may_name(person.identity))
