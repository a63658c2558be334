"""What engines say becomes captions, and captions become what is shown: the browser's tests read the same file.

Each scenario has what was heard (`events`), the captions that follow in the order in which they are sent (`segments`)
and what a client then shows (`shown`). An event belongs to the track of one speaker; its seconds count from
2026-01-01T00:00:00Z. `interim`, `final` and `end_of_speech` are an engine's; the others:

close             the track has ended
catch_up          the audio of the open line will be heard again
engine            another engine hears from now on
sent_by_another   no segmenter makes it: a revision of the segment whose sequence is `of`
repeat            the backlog, sent to somebody who came late
"""

import json
from collections.abc import Iterable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from livekit.agents import LanguageCode, stt

from agents.segments.segmenter import Segmenter, Sequence, Speaker
from agents.sinks.backlog import Backlog
from contract.segments import Segment

GOLDEN = Path(__file__).parent / "golden/segmenter.json"
SCENARIOS = json.loads(GOLDEN.read_text())
EPOCH_MS = 1_767_225_600_000
KINDS = {
    "interim": stt.SpeechEventType.INTERIM_TRANSCRIPT,
    "final": stt.SpeechEventType.FINAL_TRANSCRIPT,
    "end_of_speech": stt.SpeechEventType.END_OF_SPEECH,
}


def played(events: list[dict[str, Any]]) -> list[Segment]:
    """Every caption that follows from the events, in order."""
    sequence, ids = Sequence(1), count(1)
    tracks: dict[str, Segmenter] = {}
    sent: list[Segment] = []
    for event in events:
        identity = event["track"]
        if identity not in tracks:
            tracks[identity] = segmenter_of(identity, sequence, ids)
        sent += said(tracks[identity], event, sent)
    return sent


def said(track: Segmenter, event: dict[str, Any], sent: list[Segment]) -> list[Segment]:
    match event["kind"]:
        case "close":
            return track.close()
        case "catch_up":
            track.catch_up()
        case "engine":
            track.engine = event["engine"]
        case "sent_by_another":
            of = next(s for s in sent if s.sequence == event["of"] and s.revision == 0)
            ends = [s.revision for s in sent if s.id == of.id and s.is_final]
            is_final = bool(ends) and event["revision"] >= min(ends)
            return [replace(of, revision=event["revision"], is_final=is_final, text=event["text"])]
        case "repeat":
            return newest(sent)
        case kind:
            return track.feed(spoken(KINDS[kind], event), starts_at=utc_ms, ends_at=utc_ms)
    return []


def spoken(kind: stt.SpeechEventType, event: dict[str, Any]) -> stt.SpeechEvent:
    data = stt.SpeechData(
        language=LanguageCode(event.get("language", "")),
        text=event.get("text", ""),
        start_time=event.get("start_s", 0.0),
        end_time=event.get("end_s", 0.0),
    )
    return stt.SpeechEvent(type=kind, alternatives=[data])


def newest(sent: Iterable[Segment]) -> list[Segment]:
    """What the backlog keeps: of each segment the highest revision, in order of sequence."""
    backlog = Backlog(limit=100, max_age_ms=60_000)
    for segment in sent:
        backlog.put(segment)
    return backlog.segments(now_ms=EPOCH_MS)


def segmenter_of(identity: str, sequence: Sequence, ids: "count[int]") -> Segmenter:
    return Segmenter(
        speaker=lambda: Speaker(identity=identity, name=identity.title()),
        track_sid=f"TR_{identity}",
        engine="deepgram",
        language=lambda: "en",
        sequence=sequence,
        new_id=lambda: f"00000000-0000-4000-8000-{next(ids):012d}",
    )


def utc_ms(stream_s: float) -> int:
    return EPOCH_MS + round(stream_s * 1000)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario["name"])
def test_what_an_engine_says_becomes_the_same_captions_as_ever(scenario: dict[str, Any]) -> None:
    captions = [Segment.from_attributes(c["attributes"], c["text"]) for c in scenario["segments"]]
    sent = played(scenario["events"])

    assert sent == captions
    assert [s.to_attributes() for s in sent] == [c["attributes"] for c in scenario["segments"]]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario["name"])
def test_what_is_shown_is_the_newest_of_each_segment(scenario: dict[str, Any]) -> None:
    captions = [Segment.from_attributes(c["attributes"], c["text"]) for c in scenario["segments"]]

    assert scenario["shown"] == [
        {
            "id": segment.id,
            "sequence": segment.sequence,
            "revision": segment.revision,
            "isFinal": segment.is_final,
            "text": segment.text,
        }
        for segment in newest(captions)
    ]
