"""Captions as LiveKit carries them: a text stream for each revision, and the older transcription packet.

livekit's `stream_text` makes three calls into its native library, each awaited; its `send_text` makes one, but
cannot name another sender. As most revisions are interims, these are sent by a single call of our own, which
halves what a caption costs (0.7 ms of the loop's thread instead of 1.3, measured). To clients that understand it
such a stream comes in one packet. A client that does not, and has come so lately that LiveKit has not yet told
us of it, cannot read that; so finals, which must not be lost, go as streams that everybody can read.
"""

import asyncio
from collections.abc import Sequence

from livekit import rtc
from livekit.rtc._ffi_client import FfiClient
from livekit.rtc._proto.ffi_pb2 import FfiEvent, FfiRequest, FfiResponse

from contract import names
from contract.segments import Segment

ANSWERS = ("send_text", "publish_transcription")


async def publish(room: rtc.Room, segment: Segment) -> None:
    """To everybody, in both forms; a packet has to name a track. Raises whatever livekit raises."""
    # Without a track's id in it a packet ends the process of every client that is made of LiveKit's Rust SDK (1.1.21).
    packets = [_packet(room, segment)] if segment.track_sid.startswith("TR_") else []
    if segment.is_final:
        # The packet does not wait for the stream's three round trips.
        await asyncio.gather(_stream(room, segment), _answered(*packets))
    else:
        await _answered(_text(room, segment), *packets)


async def repeat(room: rtc.Room, segment: Segment, *, to: Sequence[str]) -> None:
    """To some, as a stream: a packet cannot be addressed."""
    await _answered(_text(room, segment, to=to))


async def hand_over(room: rtc.Room, segment: Segment, *, to: str) -> None:
    """To another agent, under no name but our own, which LiveKit keeps to itself as we are hidden."""
    own = room.local_participant.identity
    await _answered(_text(room, segment, topic=names.TOPIC_BACKLOG, sender=own, to=[to]))


async def _stream(room: rtc.Room, segment: Segment) -> None:
    writer = await room.local_participant.stream_text(
        topic=names.TOPIC_TRANSCRIPTION,
        attributes=segment.to_attributes(),
        sender_identity=segment.speaker_identity,
    )
    await writer.write(segment.text)
    await writer.aclose()


def _text(
    room: rtc.Room,
    segment: Segment,
    *,
    topic: str = names.TOPIC_TRANSCRIPTION,
    sender: str = "",
    to: Sequence[str] = (),
) -> FfiRequest:
    request = FfiRequest()
    request.send_text.local_participant_handle = room.local_participant._ffi_handle.handle
    request.send_text.text = segment.text
    options = request.send_text.options
    options.topic, options.sender_identity = topic, sender or segment.speaker_identity
    options.attributes.update(segment.to_attributes())
    options.destination_identities.extend(to)
    options.compress = False  # it would cost more than it saves
    return request


def _packet(room: rtc.Room, segment: Segment) -> FfiRequest:
    request = FfiRequest()
    packet = request.publish_transcription
    packet.local_participant_handle = room.local_participant._ffi_handle.handle
    packet.participant_identity, packet.track_id = segment.speaker_identity, segment.track_sid
    packet.segments.add(
        id=segment.id,
        text=segment.text,
        start_time=segment.start_ms,
        end_time=segment.end_ms,
        language=segment.language,
        final=segment.is_final,
    )
    return request


async def _answered(*requests: FfiRequest) -> None:
    """Make them all, and wait for all of their answers. Raises ConnectionError when one was not sent."""
    native = FfiClient.instance
    # Without a filter each frame of audio would wake us.
    answers = native.queue.subscribe(filter_fn=lambda event: event.WhichOneof("message") in ANSWERS)
    is_sent = True
    try:
        asked = {_named(native.request(request)) for request in requests}
        while asked:
            answer = await answers.get()
            if (named := _named(answer)) in asked:
                asked.discard(named)
                is_sent = is_sent and not getattr(answer, named[0]).HasField("error")
    finally:
        native.queue.unsubscribe(answers)
    if not is_sent:
        raise ConnectionError("livekit could not send")


def _named(message: FfiEvent | FfiResponse) -> tuple[str, int]:
    """Which call's answer it is, or, for a response, will be."""
    kind = message.WhichOneof("message")
    assert kind is not None
    return kind, getattr(message, kind).async_id
