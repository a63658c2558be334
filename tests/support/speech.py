"""A real speech server on a free port, and a client that speaks its WebSocket's wire."""

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "src/frontend/page/public/samples"
MODEL = "pocketsphinx-en-us"
FRAME_S = 0.02
BYTES_PER_SECOND = 32_000


class RunningSpeech:
    """`with RunningSpeech(tmp_path) as speech:` and then `speech.url`; ended by its own pid."""

    def __init__(self, directory: Path, *, sessions: int = 2, api_key: str = "") -> None:
        self._directory, self._sessions, self.api_key = directory, sessions, api_key
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def realtime_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v1/realtime"

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        return (self._directory / "speech.log").read_text()

    def __enter__(self) -> "RunningSpeech":
        self.start_and_wait()
        return self

    def start_and_wait(self) -> None:
        """Raises RuntimeError, with the log, when it does not come up."""
        self._directory.mkdir(parents=True, exist_ok=True)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SPEECH_")}
        environment |= {
            "PYTHONPATH": str(ROOT / "src"),
            "SPEECH_PORT": str(self.port),
            "SPEECH_SESSIONS": str(self._sessions),
            "SPEECH_API_KEY": self.api_key,
        }
        self._log = (self._directory / "speech.log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "speech"], cwd=ROOT, env=environment, stdout=self._log, stderr=self._log
        )
        deadline = time.monotonic() + 60
        while not self._is_healthy():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise RuntimeError(f"the speech server did not start: {self.log}")
            time.sleep(0.05)

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        self._log.close()

    def _is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=2) as answer:
                return bool(answer.status == 200)
        except urllib.error.HTTPError as error:
            error.close()
        except OSError:
            pass
        return False


class Realtime:
    """One connection to `/v1/realtime`."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.deltas: list[tuple[float, str]] = []

    async def send(self, kind: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": kind, **fields}))

    async def append(self, pcm: bytes) -> None:
        await self.send("input_audio_buffer.append", audio=base64.b64encode(pcm).decode())

    async def commit(self, **fields: Any) -> None:
        await self.send("input_audio_buffer.commit", **fields)

    async def receive(self, *, timeout_s: float = 10) -> dict[str, Any]:
        async with asyncio.timeout(timeout_s):
            event: dict[str, Any] = json.loads(await self.socket.recv())
        if event["type"] == "transcription.delta":
            self.deltas.append((time.monotonic(), event["delta"]))
        return event

    async def done(self, *, timeout_s: float = 60) -> str:
        """The text of `transcription.done`; deltas on the way are kept. An error raises AssertionError."""
        while (event := await self.receive(timeout_s=timeout_s))["type"] == "transcription.delta":
            pass
        assert event["type"] == "transcription.done", event
        return str(event["text"])

    async def say(self, pcm: bytes, *, frame_s: float = FRAME_S, real_time: bool = True) -> str:
        """One utterance, at the pace it was spoken; answers its final text."""
        self.deltas.clear()
        frame_bytes = 2 * round(frame_s * BYTES_PER_SECOND / 2)
        frames = [pcm[first : first + frame_bytes] for first in range(0, len(pcm), frame_bytes)]
        self.began = time.monotonic()
        done = asyncio.create_task(self.done())
        try:
            for number, frame in enumerate(frames):
                await self.append(frame)
                if number == 0:
                    await self.commit()
                if real_time:
                    await asyncio.sleep(max(0.0, self.began + (number + 1) * frame_s - time.monotonic()))
            await self.commit(final=True)
            return await done
        finally:
            done.cancel()
            await asyncio.wait([done])


@asynccontextmanager
async def realtime(speech: RunningSpeech, *, validated: bool = True) -> AsyncIterator[Realtime]:
    """A connected client that has read `session.created` and, if asked, named the model."""
    headers = {"Authorization": f"Bearer {speech.api_key}"} if speech.api_key else None
    async with connect(
        speech.realtime_url, additional_headers=headers, proxy=None, ping_interval=None
    ) as socket:
        client = Realtime(socket)
        assert (await client.receive())["type"] == "session.created"
        if validated:
            await client.send("session.update", model=MODEL)
        yield client


def sample(voice: str) -> tuple[bytes, str]:
    """PCM16 16 kHz mono of a clip that ships with the project, and its text."""
    return pcm_of(SAMPLES / f"{voice}.wav"), (SAMPLES / f"{voice}.txt").read_text().strip()


def pcm_of(path: Path) -> bytes:
    with wave.open(str(path)) as reader:
        assert (reader.getframerate(), reader.getnchannels(), reader.getsampwidth()) == (16_000, 1, 2), path
        return reader.readframes(reader.getnframes())
