"""People in a room, as real LiveKit clients."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType

import numpy as np
from livekit import rtc
from numpy.typing import NDArray

from contract import names, shapes
from contract.segments import Segment
from contract.status import Status
from tests.support.livekit import LiveKitServer

MICROPHONE = rtc.TrackSource.SOURCE_MICROPHONE


@asynccontextmanager
async def joined(
    server: LiveKitServer, room: str, identity: str, **grants: object
) -> AsyncIterator[rtc.Room]:
    """A participant who is in the room for the length of the block."""
    person = rtc.Room()
    await person.connect(
        server.url, server.token(room, identity, **grants), rtc.RoomOptions(auto_subscribe=False)
    )
    try:
        yield person
    finally:
        await person.disconnect()


class Speaker:
    """Somebody with a microphone: silent until `say`, at the pace of real time."""

    def __init__(
        self,
        server: LiveKitServer,
        room: str,
        identity: str,
        *,
        name: str | None = None,
        sample_rate_hz: int = 16_000,
        channels: int = 1,
        frame_ms: int = 20,
        source: rtc.TrackSource.ValueType = MICROPHONE,
        encryption_key: bytes | None = None,
        **grants: object,
    ) -> None:
        self.identity = identity
        self.room = rtc.Room()
        self._server, self._token = server, server.token(room, identity, name=name, **grants)
        self._rate_hz, self._channels, self._frame_ms = sample_rate_hz, channels, frame_ms
        self._track_source, self._encryption_key = source, encryption_key
        self._to_say: asyncio.Queue[tuple[NDArray[np.int16], asyncio.Future[None]]] = asyncio.Queue()
        self._playing: asyncio.Task[None] | None = None
        self.publication: rtc.LocalTrackPublication | None = None
        self.track: rtc.LocalAudioTrack | None = None

    async def __aenter__(self) -> "Speaker":
        await self.join()
        await self.publish()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.leave()

    async def join(self) -> None:
        encryption = None
        if self._encryption_key:
            encryption = rtc.E2EEOptions(key_provider_options=rtc.KeyProviderOptions(self._encryption_key))
        await self.room.connect(
            self._server.url, self._token, rtc.RoomOptions(auto_subscribe=False, encryption=encryption)
        )

    async def publish(self) -> str:
        """A new microphone track; its sid."""
        source = rtc.AudioSource(self._rate_hz, self._channels, queue_size_ms=200)
        self.track = rtc.LocalAudioTrack.create_audio_track("microphone", source)
        self.publication = await self.room.local_participant.publish_track(
            self.track, rtc.TrackPublishOptions(source=self._track_source)
        )
        self._playing = asyncio.create_task(self._play(source))
        return self.publication.sid

    async def unpublish(self) -> None:
        await self._hush()
        assert self.publication is not None
        await self.room.local_participant.unpublish_track(self.publication.sid)

    async def leave(self) -> None:
        await self._hush()
        await self.room.disconnect()

    def mute(self) -> None:
        assert self.track is not None
        self.track.mute()

    def unmute(self) -> None:
        assert self.track is not None
        self.track.unmute()

    async def say(self, pcm: NDArray[np.int16]) -> None:
        """(n,) int16, mono, 16 kHz; returns when it has been said."""
        said: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._to_say.put_nowait((pcm, said))
        await said

    async def _hush(self) -> None:
        if self._playing:
            self._playing.cancel()
            await asyncio.wait({self._playing})
            self._playing = None

    async def _play(self, source: rtc.AudioSource) -> None:
        samples = self._rate_hz * self._frame_ms // 1000
        quiet = np.zeros(samples * self._channels, np.int16)
        while True:
            if self._to_say.empty():
                await self._capture(source, quiet, samples)
                continue
            pcm, said = self._to_say.get_nowait()
            pcm = self._as_published(pcm)
            size = samples * self._channels
            for start in range(0, len(pcm) - size + 1, size):
                await self._capture(source, pcm[start : start + size], samples)
            if not said.done():
                said.set_result(None)

    async def _capture(self, source: rtc.AudioSource, pcm: NDArray[np.int16], samples: int) -> None:
        await source.capture_frame(rtc.AudioFrame(pcm.tobytes(), self._rate_hz, self._channels, samples))

    def _as_published(self, pcm: NDArray[np.int16]) -> NDArray[np.int16]:
        if self._rate_hz != 16_000:
            at = np.arange(0, len(pcm), 16_000 / self._rate_hz)
            pcm = np.interp(at, np.arange(len(pcm)), pcm).astype(np.int16)
        return np.repeat(pcm, self._channels)


@dataclass(frozen=True, kw_only=True)
class Caption:
    """One text stream on the captions' topic, as it came in (monotonic)."""

    at: float
    sender: str
    segment: Segment
    attributes: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Packet:
    """One segment of an older transcription packet."""

    at: float
    sender: str | None
    id: str
    text: str
    is_final: bool


@dataclass(frozen=True, kw_only=True)
class Notice:
    """One status message."""

    at: float
    sender: str
    status: Status


@dataclass(kw_only=True)
class _Seen:
    captions: list[Caption] = field(default_factory=list)
    packets: list[Packet] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)


class Viewer:
    """Somebody who watches: keeps everything that is shown, with its time of arrival."""

    def __init__(self, server: LiveKitServer, room: str, identity: str = "viewer", **grants: object) -> None:
        self.room = rtc.Room()
        self._url, self._token = server.url, server.token(room, identity, **grants)
        self._seen = _Seen()
        self._arrived = asyncio.Event()
        self._reading: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Viewer":
        self.room.register_text_stream_handler(names.TOPIC_TRANSCRIPTION, self._on_caption)
        self.room.register_text_stream_handler(names.TOPIC_STATUS, self._on_status)
        self.room.on("transcription_received", self._on_packet)
        await self.room.connect(self._url, self._token, rtc.RoomOptions(auto_subscribe=False))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.room.disconnect()
        for task in self._reading:
            task.cancel()

    @property
    def captions(self) -> list[Caption]:
        return self._seen.captions

    @property
    def packets(self) -> list[Packet]:
        return self._seen.packets

    @property
    def notices(self) -> list[Notice]:
        return self._seen.notices

    def finals(self, identity: str | None = None) -> list[Segment]:
        """In the order in which they came."""
        return [c.segment for c in self.captions if c.segment.is_final and identity in (None, c.sender)]

    async def until(self, is_so: Callable[["Viewer"], object], *, timeout_s: float = 15) -> None:
        """Wait for something to have been shown."""
        async with asyncio.timeout(timeout_s):
            while not is_so(self):
                self._arrived.clear()
                await self._arrived.wait()

    async def next_caption(self, *, timeout_s: float = 15) -> Caption:
        already = len(self.captions)
        await self.until(lambda viewer: len(viewer.captions) > already, timeout_s=timeout_s)
        return self.captions[already]

    async def next_final(self, identity: str, *, timeout_s: float = 15) -> Segment:
        already = len(self.finals(identity))
        await self.until(lambda viewer: len(viewer.finals(identity)) > already, timeout_s=timeout_s)
        return self.finals(identity)[already]

    def _on_caption(self, reader: rtc.TextStreamReader, sender: str) -> None:
        self._read(self._caption(reader, sender))

    def _on_status(self, reader: rtc.TextStreamReader, sender: str) -> None:
        self._read(self._notice(reader, sender))

    def _read(self, reading: object) -> None:
        task = asyncio.ensure_future(reading)  # type: ignore[call-overload]
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    async def _caption(self, reader: rtc.TextStreamReader, sender: str) -> None:
        with contextlib.suppress(rtc.StreamError):
            text = await reader.read_all()
            attributes = dict(reader.info.attributes or {})
            segment = Segment.from_attributes(attributes, text)
            self.captions.append(
                Caption(at=time.monotonic(), sender=sender, segment=segment, attributes=attributes)
            )
            self._arrived.set()

    async def _notice(self, reader: rtc.TextStreamReader, sender: str) -> None:
        with contextlib.suppress(rtc.StreamError):
            status = shapes.from_json(Status, await reader.read_all())
            self.notices.append(Notice(at=time.monotonic(), sender=sender, status=status))
            self._arrived.set()

    def _on_packet(
        self,
        segments: list[rtc.TranscriptionSegment],
        participant: rtc.Participant | None,
        _: rtc.TrackPublication | None,
    ) -> None:
        for segment in segments:
            self.packets.append(
                Packet(
                    at=time.monotonic(),
                    sender=participant.identity if participant else None,
                    id=segment.id,
                    text=segment.text,
                    is_final=segment.final,
                )
            )
        self._arrived.set()
