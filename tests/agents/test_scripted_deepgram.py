"""The scripted engine itself: what it hears, and that it speaks Deepgram's protocol as LiveKit's plugin reads it."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import aiohttp
import av
import numpy as np
import pytest
from livekit import rtc
from livekit.agents import APIConnectOptions, stt
from livekit.plugins import deepgram

from tests.support.clips import at_level, clip, silence
from tests.support.deepgram.markers import MARKER_S, Marker, MarkerEar, Pcm, with_markers
from tests.support.deepgram.recogniser import Recogniser, Result
from tests.support.deepgram.script import GARBAGE, Script
from tests.support.livekit import LiveKitServer
from tests.support.people import Speaker
from tests.support.scripted_deepgram import ScriptedDeepgram

RATE_HZ = 16_000
VOICES = ("slt", "rms", "awb", "kal16")
KINDS = stt.SpeechEventType


def heard(pcm: Pcm, *, sample_rate_hz: int = RATE_HZ) -> list[Marker]:
    ear = MarkerEar(sample_rate_hz=sample_rate_hz)
    hops = (ear.feed(pcm[at : at + ear.hop]) for at in range(0, len(pcm) - ear.hop + 1, ear.hop))
    return [marker for marker in hops if marker]


def through_opus(pcm: Pcm, *, bit_rate: int, sample_rate_hz: int) -> Pcm:
    """As a microphone's track carries it, read at a rate of the client's choice."""
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.bit_rate, encoder.layout, encoder.format = RATE_HZ, bit_rate, "mono", "s16"
    encoder.options = {"application": "voip", "frame_duration": "20"}
    encoder.open()
    decoder = av.CodecContext.create("libopus", "r")
    decoder.sample_rate, decoder.layout = 48_000, "mono"
    resampler = av.AudioResampler(format="s16", layout="mono", rate=sample_rate_hz)
    packets = []
    for at in range(0, len(pcm) - encoder.frame_size + 1, encoder.frame_size):
        frame = av.AudioFrame.from_ndarray(
            pcm[np.newaxis, at : at + encoder.frame_size], format="s16", layout="mono"
        )
        frame.sample_rate = RATE_HZ
        packets += encoder.encode(frame)
    frames = [frame for packet in packets + encoder.encode(None) for frame in decoder.decode(packet)]
    return np.concatenate([out.to_ndarray().ravel() for f in frames for out in resampler.resample(f)])


def marked(voice: str) -> tuple[Pcm, list[tuple[float, int]]]:
    """A clip with a marker every 0.2 s, each with another code."""
    pcm = at_level(clip(voice), 20_000)
    times = np.arange(0.2, len(pcm) / RATE_HZ - 0.1, 0.2)
    codes = np.random.default_rng(5).permutation(1_000)[: len(times)]
    at = [(float(time), int(code)) for time, code in zip(times, codes, strict=True)]
    return with_markers(pcm, at), at


@pytest.mark.parametrize("voice", VOICES)
@pytest.mark.parametrize("sample_rate_hz", [16_000, 24_000])
@pytest.mark.parametrize("bit_rate", [24_000, 32_000])
def test_every_marker_over_speech_survives_a_microphones_codec(
    voice: str, sample_rate_hz: int, bit_rate: int
) -> None:
    pcm, at = marked(voice)

    found = heard(
        through_opus(pcm, bit_rate=bit_rate, sample_rate_hz=sample_rate_hz), sample_rate_hz=sample_rate_hz
    )

    assert [m.code for m in found] == [code for _, code in at]
    assert max(abs(m.start_s - at_s) for m, (at_s, _) in zip(found, at, strict=True)) < 0.025


@pytest.mark.parametrize("voice", VOICES)
def test_times_of_markers_are_those_of_the_audio(voice: str) -> None:
    pcm, at = marked(voice)

    found = heard(pcm)

    assert [m.code for m in found] == [code for _, code in at]
    assert max(abs(m.start_s - at_s) for m, (at_s, _) in zip(found, at, strict=True)) < 0.003


@pytest.mark.parametrize("voice", VOICES)
def test_speech_alone_has_no_markers(voice: str) -> None:
    pcm = at_level(clip(voice), 32_000)

    assert heard(pcm) == []
    assert heard(through_opus(pcm, bit_rate=24_000, sample_rate_hz=RATE_HZ)) == []


def test_noise_alone_has_no_markers() -> None:
    noise = np.random.default_rng(3).normal(0, 5_000, 60 * RATE_HZ)

    assert heard(np.clip(noise, -32_768, 32_767).astype(np.int16)) == []


def results(pcm: Pcm, script: Script) -> list[Result]:
    recogniser = Recogniser(sample_rate_hz=RATE_HZ, channels=1, endpointing_ms=None)
    return [event for event in recogniser.feed(pcm.tobytes(), script) if isinstance(event, Result)]


def test_a_pause_in_the_audio_makes_a_final_and_the_next_begins_where_it_ended() -> None:
    speech = with_markers(at_level(clip("slt")[: 2 * RATE_HZ], 20_000), [(0.5, 1), (1.0, 2), (1.5, 3)])
    said = results(np.concatenate([speech, silence(0.5), speech, silence(0.5)]), Script())

    finals = [result for result in said if result.is_final]
    assert [f.text for f in finals] == ["w001 w002 w003"] * 2
    assert finals[1].start_s == pytest.approx(finals[0].start_s + finals[0].duration_s)
    assert [r.text for r in said if not r.is_final][:3] == ["w001", "w001 w002", "w001 w002 w003"]


def test_somebody_who_does_not_pause_gets_a_final_every_few_seconds() -> None:
    pcm, at = marked("slt")
    loud = np.maximum(np.abs(pcm), 500).astype(np.int16)  # speech without a pause

    finals = [r for r in results(np.where(pcm < 0, -loud, loud), Script(max_final_s=2)) if r.is_final]

    assert len(finals) == 3
    assert all(f.duration_s < 2.1 for f in finals)
    said = [word.code for final in finals for word in final.words]
    assert said == [code for _, code in at][: len(said)]


@pytest.fixture(scope="module")
def scripted_server() -> Iterator[ScriptedDeepgram]:
    with ScriptedDeepgram() as engine:
        yield engine


@pytest.fixture
def scripted(scripted_server: ScriptedDeepgram) -> ScriptedDeepgram:
    scripted_server.reset()
    return scripted_server


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


SENTENCE = with_markers(at_level(clip("awb")[: 2 * RATE_HZ], 20_000), [(0.4, 7), (0.9, 42), (1.5, 999)])


async def test_livekits_own_plugin_reads_words_and_times(
    scripted: ScriptedDeepgram, http: aiohttp.ClientSession
) -> None:
    plugin = deepgram.STT(api_key="a key", base_url=scripted.url, http_session=http, tags=["reference"])
    async with plugin.stream(conn_options=APIConnectOptions(max_retry=0)) as stream:
        for at in range(0, len(SENTENCE), 320):
            stream.push_frame(rtc.AudioFrame(SENTENCE[at : at + 320].tobytes(), RATE_HZ, 1, 320))
        stream.end_input()
        async with asyncio.timeout(15):  # the plugin's keepalive task holds the end up by 5 s
            events = [event async for event in stream]

    [final] = [e.alternatives[0] for e in events if e.type is KINDS.FINAL_TRANSCRIPT]
    assert final.text == "w007 w042 w999"
    assert final.start_time == pytest.approx(0.4, abs=0.003)
    assert final.end_time == pytest.approx(1.5 + MARKER_S, abs=0.003)
    assert sum(e.type is KINDS.INTERIM_TRANSCRIPT for e in events) == 3
    seen = scripted.seen()
    [connection] = seen.connections
    assert (connection.label, connection.key, connection.ending) == ("reference", "a key", "CloseStream")
    assert connection.audio_s == pytest.approx(2, abs=0.01)
    assert connection.violations == []
    assert seen.labels["reference"].words == 3


async def test_words_come_after_the_delay_of_the_script(
    scripted: ScriptedDeepgram, http: aiohttp.ClientSession
) -> None:
    scripted.set(delay_ms=150, final_delay_ms=400)
    async with http.ws_connect(f"{scripted.url}?interim_results=true") as socket:
        await socket.send_bytes(SENTENCE.tobytes())
        await socket.send_str('{"type":"Finalize"}')
        said = [json.loads((await socket.receive(5)).data) for _ in range(4)]

    assert [s["is_final"] for s in said] == [False, False, False, True]
    assert said[-1]["from_finalize"] is True
    [connection] = (await scripted.until(lambda s: s.connections[0].closed_at)).connections
    assert connection.ending == "abrupt"
    waits_s = [sent.at - connection.words[-1].at for sent in connection.sent]
    assert min(waits_s[:3]) >= 0.15
    assert waits_s[3] >= 0.4


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
async def test_a_handshake_is_answered_as_scripted(
    scripted: ScriptedDeepgram, http: aiohttp.ClientSession, status: int
) -> None:
    scripted.set(accepts=status, retry_after_s=7)
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await http.ws_connect(scripted.url, headers={"Authorization": "Token bad"})

    assert refused.value.status == status
    assert refused.value.headers is not None
    assert refused.value.headers["Retry-After"] == "7"
    assert [(a.status, a.key) for a in scripted.seen().attempts] == [(status, "bad")]


async def test_a_shut_port_refuses_and_opens_again(
    scripted: ScriptedDeepgram, http: aiohttp.ClientSession
) -> None:
    scripted.set(refuses_connections=True)
    with pytest.raises(aiohttp.ClientConnectorError):
        await http.ws_connect(scripted.url)
    scripted.set(refuses_connections=False)

    async with http.ws_connect(scripted.url):
        await scripted.until(lambda s: s.connections)


async def test_a_connection_breaks_in_the_middle_of_a_word_as_often_as_scripted(
    scripted: ScriptedDeepgram, http: aiohttp.ClientSession
) -> None:
    scripted.set(closes_after_words=2, closes_times=1)
    for _ in range(2):
        async with http.ws_connect(scripted.url) as socket:
            for at in range(0, len(SENTENCE), 320):
                await socket.send_bytes(SENTENCE[at : at + 320].tobytes())
            await socket.send_str('{"type":"CloseStream"}')
            async with asyncio.timeout(5):
                async for _ in socket:
                    pass

    seen = await scripted.until(lambda s: s.connections[-1].closed_at)
    assert [(c.ending, len(c.words)) for c in seen.connections] == [("server", 2), ("CloseStream", 3)]


async def test_a_dropped_final_is_not_sent_and_is_counted(
    scripted: ScriptedDeepgram, http: aiohttp.ClientSession
) -> None:
    scripted.set(drop_final=2)
    async with http.ws_connect(f"{scripted.url}?tag=ours") as socket:
        for _ in range(4):
            await socket.send_bytes(SENTENCE.tobytes())
            await socket.send_str('{"type":"Finalize"}')
        await socket.send_str('{"type":"CloseStream"}')
        async with asyncio.timeout(5):
            lines = [json.loads(message.data) async for message in socket]

    assert [line["type"] for line in lines] == ["Results", "Results", "Metadata"]
    assert scripted.seen().labels["ours"].dropped_finals == 2


@pytest.mark.parametrize("hangs", ["silent", "unread"])
async def test_an_engine_that_hangs_answers_nothing(
    scripted: ScriptedDeepgram, http: aiohttp.ClientSession, hangs: str
) -> None:
    scripted.set(hangs=hangs)
    async with http.ws_connect(f"{scripted.url}?interim_results=true") as socket:
        await socket.send_bytes(SENTENCE.tobytes())
        await socket.send_str('{"type":"CloseStream"}')
        with pytest.raises(TimeoutError):
            await socket.receive(0.5)


async def test_all_garbage_comes_once_and_the_words_after_it(
    scripted: ScriptedDeepgram, http: aiohttp.ClientSession
) -> None:
    scripted.set(garbage=list(GARBAGE), flood=100)
    async with http.ws_connect(f"{scripted.url}?interim_results=true", max_msg_size=0) as socket:
        await socket.send_bytes(SENTENCE.tobytes())
        await socket.send_str('{"type":"CloseStream"}')
        async with asyncio.timeout(10):
            got = [message.data async for message in socket]

    assert max(len(message) for message in got) > 10_000_000
    assert sum("flood" in message for message in got if isinstance(message, str)) == 100
    assert any(isinstance(message, bytes) for message in got)
    assert "w007 w042 w999" in got[-2]
    assert json.loads(got[-1])["type"] == "Metadata"


async def test_by_energy_each_onset_of_sound_is_a_word(
    scripted: ScriptedDeepgram, http: aiohttp.ClientSession
) -> None:
    scripted.set(hears="energy")
    burst = np.concatenate([np.full(RATE_HZ // 5, 8_000, np.int16), silence(0.2)])
    async with http.ws_connect(scripted.url) as socket:
        await socket.send_bytes(np.tile(burst, 3).tobytes())
        await socket.send_str('{"type":"Finalize"}')
        said = json.loads((await socket.receive(5)).data)

    words = said["channel"]["alternatives"][0]["words"]
    assert [w["start"] for w in words] == pytest.approx([0, 0.4, 0.8], abs=0.011)


@pytest.mark.parametrize("sample_rate_hz", [16_000, 24_000])
async def test_markers_arrive_through_a_real_room_once_and_in_order(
    livekit_server: LiveKitServer, room_name: str, sample_rate_hz: int
) -> None:
    pcm, at = marked("rms")
    listener, subscribed = rtc.Room(), asyncio.get_running_loop().create_future()
    listener.on("track_subscribed", lambda track, *_: subscribed.set_result(track))
    await listener.connect(livekit_server.url, livekit_server.token(room_name, "listener"))
    ear, rest, codes = MarkerEar(sample_rate_hz=sample_rate_hz), np.empty(0, np.int16), []
    try:
        async with Speaker(livekit_server, room_name, "ada") as ada, asyncio.timeout(30):
            stream = rtc.AudioStream(await subscribed, sample_rate=sample_rate_hz, num_channels=1)
            saying = asyncio.create_task(ada.say(np.concatenate([silence(1), pcm])))
            async for event in stream:
                rest = np.concatenate([rest, np.frombuffer(event.frame.data, np.int16)])
                while len(rest) >= ear.hop:
                    if found := ear.feed(rest[: ear.hop]):
                        codes.append(found.code)
                    rest = rest[ear.hop :]
                if len(codes) >= len(at):
                    break
            await saying
            await stream.aclose()
    finally:
        await listener.disconnect()

    assert codes == [code for _, code in at]
