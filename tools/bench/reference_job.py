"""The reference transcriber's job: an AgentSession with RoomIO and Silero's plugin for each participant.

Written from livekit-agents' public API, after the shape of livekit/agents'
`examples/other/transcription/multi-user-transcriber.py` and suitenumerique/meet's
`src/agents/multi_user_transcriber.py`: sessions only transcribe, RoomIO publishes captions in both forms, the detector
is loaded once per process, and all other options are the framework's and the plugins' defaults.
"""

import asyncio
import os

from livekit import rtc
from livekit.agents import Agent, AgentSession, AutoSubscribe, JobContext, JobProcess, StopResponse, llm
from livekit.agents.voice.room_io import RoomIO, RoomOptions
from livekit.plugins import deepgram, silero

CLOSE_TIMEOUT_S = 10.0


def prepare_process(process: JobProcess) -> None:
    process.userdata["vad"] = silero.VAD.load()


class Transcriber(Agent):
    """One participant's words, and no answer to them."""

    def __init__(self) -> None:
        engine = deepgram.STT(
            base_url=os.environ["BENCH_STT_BASE_URL"], api_key=os.environ["BENCH_STT_API_KEY"]
        )
        super().__init__(instructions="", stt=engine)

    async def on_user_turn_completed(self, turn_ctx: llm.ChatContext, new_message: llm.ChatMessage) -> None:
        raise StopResponse


class Sessions:
    """One for each participant in the room."""

    def __init__(self, context: JobContext) -> None:
        self._context = context
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._left: dict[str, asyncio.Event] = {}

    def join(self, participant: rtc.RemoteParticipant) -> None:
        identity = participant.identity
        if identity not in self._tasks:
            self._left[identity] = asyncio.Event()
            self._tasks[identity] = asyncio.create_task(self._session(participant, self._left[identity]))

    def leave(self, participant: rtc.RemoteParticipant) -> None:
        if self._tasks.pop(participant.identity, None):
            self._left.pop(participant.identity).set()

    async def aclose(self) -> None:
        for left in self._left.values():
            left.set()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=CLOSE_TIMEOUT_S)

    async def _session(self, participant: rtc.RemoteParticipant, left: asyncio.Event) -> None:
        session: AgentSession[None] = AgentSession(vad=self._context.proc.userdata["vad"])
        options = RoomOptions(text_input=False, audio_output=False, text_output=True)
        room_io = RoomIO(session, room=self._context.room, participant=participant, options=options)
        await room_io.start()
        await session.start(agent=Transcriber())
        await left.wait()
        await session.drain()
        await session.aclose()


async def transcribe_room(context: JobContext) -> None:
    sessions = Sessions(context)
    context.room.on("participant_connected", sessions.join)
    context.room.on("participant_disconnected", sessions.leave)
    context.add_shutdown_callback(sessions.aclose)
    await context.connect(auto_subscribe=AutoSubscribe.AUDIO_ONLY)
    for participant in context.room.remote_participants.values():
        sessions.join(participant)
