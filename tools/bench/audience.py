"""Who watches, in a process of its own: `python -m tools.bench.audience`; notes each caption's arrival.

A viewer is hidden, so that no contestant starts anything for it. With a number as argument it loses every so manyth
final of ours: a defect that must show.
"""

import asyncio
import contextlib
import sys
import time
from dataclasses import asdict
from typing import Any

from livekit import rtc

from contract import names
from tools.bench.captions import ATTRIBUTE_SENT_AT, OURS, Caption, contestant_of
from tools.bench.child import answer_lines


class Viewer:
    """In one room."""

    def __init__(self, room: str, *, drop_every: int) -> None:
        self._name, self._room = room, rtc.Room()
        self._drop_every, self._finals_of_ours = drop_every, 0
        self._reading: set[asyncio.Task[None]] = set()
        self.captions: list[Caption] = []

    async def join(self, url: str, token: str) -> None:
        self._room.register_text_stream_handler(names.TOPIC_TRANSCRIPTION, self._on_stream)
        self._room.register_text_stream_handler(names.TOPIC_STATUS, lambda *_: None)
        await self._room.connect(url, token, rtc.RoomOptions(auto_subscribe=False))

    async def leave(self) -> None:
        await self._room.disconnect()
        for task in self._reading:
            task.cancel()

    def _on_stream(self, reader: rtc.TextStreamReader, sender: str) -> None:
        task = asyncio.create_task(self._read(reader, sender))
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    async def _read(self, reader: rtc.TextStreamReader, sender: str) -> None:
        with contextlib.suppress(rtc.StreamError):
            text = await reader.read_all()
            at = time.monotonic()
            attributes = dict(reader.info.attributes or {})
            sent_at = attributes.get(ATTRIBUTE_SENT_AT)
            caption = Caption(
                at=at,
                room=self._name,
                by=sender,
                contestant=contestant_of(attributes),
                segment=attributes.get(names.ATTRIBUTE_SEGMENT_ID, ""),
                is_final=attributes.get(names.ATTRIBUTE_FINAL) == "true",
                text=text,
                sent_at=float(sent_at) if sent_at else None,
            )
            if not self._is_dropped(caption):
                self.captions.append(caption)

    def _is_dropped(self, caption: Caption) -> bool:
        if not self._drop_every or caption.contestant != OURS or not caption.is_final:
            return False
        self._finals_of_ours += 1
        return self._finals_of_ours % self._drop_every == 0


class Audience:
    """One viewer for each room."""

    def __init__(self, *, drop_every: int) -> None:
        self._drop_every = drop_every
        self._viewers: dict[str, Viewer] = {}

    async def watch(self, room: str, url: str, token: str) -> None:
        viewer = Viewer(room, drop_every=self._drop_every)
        await viewer.join(url, token)
        self._viewers[room] = viewer

    async def unwatch(self, room: str) -> None:
        await self._viewers.pop(room).leave()

    async def seen(self, room: str | None = None) -> list[dict[str, Any]]:
        """Everything since it was last asked."""
        told = []
        for viewer in [self._viewers[room]] if room else self._viewers.values():
            told += [asdict(caption) for caption in viewer.captions]
            viewer.captions = []
        return told


async def main() -> None:
    audience = Audience(drop_every=int(sys.argv[1]) if sys.argv[1:] else 0)
    await answer_lines({name: getattr(audience, name) for name in ("watch", "unwatch", "seen")})


if __name__ == "__main__":
    asyncio.run(main())
