"""The record of a meeting: what a job is told of it, and what it hands in."""

import enum
from dataclasses import dataclass

from contract.segments import Segment

VERSION = 1

MAX_BATCH_SEGMENTS = 100


class Transcript(enum.StrEnum):
    """Whether what is said is being kept, as the status topic and REST say it."""

    ON = "on"
    OFF = "off"


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What one participant of the meeting wants of captions and transcript, by identity.

    `captions` false: no track of theirs is subscribed to. `pseudonym`: shown instead of their name; empty: the name.
    """

    identity: str
    captions: bool = True
    pseudonym: str = ""


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """Of all who have any; who is not among them wants captions under their name. Another set, another revision."""

    revision: int = 0
    people: tuple[Wish, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PostedSegment:
    """A final that somebody posted, for the agent to publish: a correction, a human captioner's line.

    `number` grows within the meeting. A job tells with each report up to which it has taken them.
    """

    number: int
    segment: Segment


@dataclass(frozen=True, kw_only=True)
class SegmentsBatch:
    """Finals of one session and generation, in any order, MAX_BATCH_SEGMENTS at most; each may come again.

    Known by (session, generation, speaker, segment, revision). Any worker may hand in what another one, that has gone,
    had written down.
    """

    generation: int
    segments: tuple[Segment, ...]
    version: int = VERSION


@dataclass(frozen=True, kw_only=True)
class SegmentsAnswer:
    """All of the batch is done with: `stored` of them are new, `known` were there, `refused` are not to be kept."""

    stored: int
    known: int = 0
    refused: int = 0
    version: int = VERSION
