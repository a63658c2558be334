import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from speech.limits import CONNECTIONS_PER_SESSION
from tests.support.speech import MODEL, Realtime, RunningSpeech, realtime, sample
from tests.support.words import word_error_rate

VOICES = ("slt", "rms", "awb", "kal16")
SECOND = bytes(32_000)


@pytest.mark.parametrize("voice", VOICES)
async def test_each_sample_is_understood_at_the_pace_it_is_spoken(speech: RunningSpeech, voice: str) -> None:
    pcm, text = sample(voice)
    async with realtime(speech) as client:
        assert word_error_rate(text, await client.say(pcm)) <= 0.1


async def test_two_speakers_at_once_are_both_served_in_real_time(speech: RunningSpeech) -> None:
    async def speaks(voice: str) -> tuple[float, float]:
        pcm, text = sample(voice)
        async with realtime(speech) as client:
            said = await client.say(pcm)
            behind_s = asyncio.get_running_loop().time() - client.began - len(pcm) / 32_000
            return word_error_rate(text, said), behind_s

    for error_rate, behind_s in await asyncio.gather(speaks("slt"), speaks("rms")):
        assert error_rate <= 0.1
        assert behind_s < 5


async def test_text_grows_while_it_is_spoken_and_is_never_taken_back(speech: RunningSpeech) -> None:
    pcm, text = sample("slt")
    async with realtime(speech) as client:
        final = await client.say(pcm)
        spoken_until = client.began + len(pcm) / 32_000
        early = [delta for at, delta in client.deltas if at < spoken_until]
        assert len("".join(early).split()) >= len(text.split()) / 2
        # Two hypotheses had to agree on each word, so most of them stand.
        assert word_error_rate(final, "".join(delta for _, delta in client.deltas)) <= 0.25


async def test_the_socket_serves_one_utterance_after_the_other(speech: RunningSpeech) -> None:
    async with realtime(speech) as client:
        for voice in ("rms", "awb"):
            pcm, text = sample(voice)
            assert word_error_rate(text, await client.say(pcm, real_time=False)) <= 0.1


async def test_audio_may_come_before_its_commit(speech: RunningSpeech) -> None:
    pcm, text = sample("awb")
    async with realtime(speech) as client:
        await client.append(pcm)
        await client.commit()
        await client.commit(final=True)
        assert word_error_rate(text, await client.done()) <= 0.1


@pytest.mark.parametrize("samples_per_frame", [1, 7, 160, 479, 960, 16_000])
async def test_frames_of_any_size_make_the_same_words(speech: RunningSpeech, samples_per_frame: int) -> None:
    pcm = sample("kal16")[0][: 2 * 32_000]
    if samples_per_frame < 100:
        pcm = pcm[:16_000]
    async with realtime(speech) as one, realtime(speech) as other:
        whole = await one.say(pcm, frame_s=1.0, real_time=False)
        assert await other.say(pcm, frame_s=samples_per_frame / 16_000, real_time=False) == whole


async def test_silence_says_nothing(speech: RunningSpeech) -> None:
    async with realtime(speech) as client:
        assert await client.say(3 * SECOND, real_time=False) == ""
        assert client.deltas == []


async def test_an_utterance_without_audio_is_empty(speech: RunningSpeech) -> None:
    async with realtime(speech) as client:
        await client.commit()
        await client.commit(final=True)
        assert await client.done() == ""


async def test_a_clipped_noise_does_not_spoil_what_is_said_after_it(speech: RunningSpeech) -> None:
    square_wave = (b"\xff\x7f" * 40 + b"\x00\x80" * 40) * 400
    async with realtime(speech) as client:
        await client.say(square_wave, real_time=False)
        pcm, text = sample("awb")
        assert word_error_rate(text, await client.say(pcm, real_time=False)) <= 0.1


async def test_audio_between_the_final_commit_and_done_is_thrown_away(speech: RunningSpeech) -> None:
    pcm, text = sample("awb")
    async with realtime(speech) as client:
        await client.append(pcm)
        await client.commit()
        # More than goes into the decoder's socket, so that the server still holds some when the late audio comes.
        for _ in range(24):
            await client.append(SECOND)
        await client.commit(final=True)
        await client.append(sample("rms")[0])
        assert word_error_rate(text, await client.done()) <= 0.1
        await client.commit()
        await client.commit(final=True)
        assert await client.done() == ""


async def test_a_commit_while_transcribing_is_ignored(speech: RunningSpeech) -> None:
    pcm, text = sample("awb")
    async with realtime(speech) as client:
        await client.append(pcm[:64_000])
        await client.commit()
        await client.commit()
        await client.append(pcm[64_000:])
        await client.commit(final=True)
        assert word_error_rate(text, await client.done()) <= 0.1


async def test_a_session_begins_with_its_id_and_time(speech: RunningSpeech) -> None:
    async with connect(speech.realtime_url, proxy=None) as socket:
        created = json.loads(await socket.recv())
    assert created["type"] == "session.created"
    assert created["id"] and isinstance(created["created"], int)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{", "invalid_json"),
        ("[]", "invalid_event"),
        (b"\0\0", "invalid_event"),
        ('{"type": "response.create"}', "unknown_event"),
        ('{"type": "session.update", "model": "whisper-1"}', "model_not_found"),
        ('{"type": "input_audio_buffer.append", "audio": ""}', "invalid_audio"),
        ('{"type": "input_audio_buffer.append", "audio": "AA=="}', "invalid_audio"),
        ('{"type": "input_audio_buffer.commit"}', "model_not_validated"),
        ('{"type": "input_audio_buffer.commit", "final": true}', "model_not_validated"),
    ],
)
async def test_a_bad_event_is_answered_with_its_code_and_the_session_lives(
    speech: RunningSpeech, message: str | bytes, code: str
) -> None:
    async with realtime(speech, validated=False) as client:
        await client.socket.send(message)
        error = await client.receive()
        assert (error["type"], error["code"]) == ("error", code)
        assert isinstance(error["error"], str)
        await client.send("session.update", model=MODEL)
        assert await client.say(SECOND, real_time=False) == ""


async def test_audio_without_a_commit_is_bounded(speech: RunningSpeech) -> None:
    async with realtime(speech) as client:
        for _ in range(4):
            await client.append(10 * SECOND)
        assert (await client.receive())["code"] == "invalid_audio"


async def test_a_message_too_large_closes_the_connection(speech: RunningSpeech) -> None:
    async with realtime(speech) as client:
        await client.append(40 * SECOND)
        with pytest.raises(ConnectionClosed) as closed:
            await client.receive()
    assert closed.value.rcvd and closed.value.rcvd.code == 1009


async def test_a_client_that_sends_nothing_but_errors_is_sent_away(speech: RunningSpeech) -> None:
    async with realtime(speech) as client:
        for _ in range(60):
            await client.socket.send("{")
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                await client.receive()
    assert closed.value.rcvd and closed.value.rcvd.code == 1008


async def test_more_utterances_than_the_capacity_are_refused_and_the_others_are_served(
    speech: RunningSpeech,
) -> None:
    async with realtime(speech) as one, realtime(speech) as two, realtime(speech) as three:
        for busy in (one, two):
            await begin(busy)
        await three.append(SECOND)
        await three.commit()
        assert (await three.receive())["code"] == "capacity"
        with pytest.raises(ConnectionClosed) as closed:
            await three.receive()
        assert closed.value.rcvd and closed.value.rcvd.code == 1013
        for served in (one, two):
            await served.commit(final=True)
            await served.done()


async def test_clients_that_are_refused_or_leave_in_a_flood_of_audio_leave_no_place_taken(
    tmp_path: Path,
) -> None:
    with RunningSpeech(tmp_path, sessions=1) as small:
        async with realtime(small) as busy:
            await begin(busy)
            for _ in range(CONNECTIONS_PER_SESSION + 2):  # Refused for capacity, with more audio on its way.
                async with realtime(small) as refused:
                    with suppress(ConnectionClosed):
                        for _ in range(3):
                            await refused.append(11 * SECOND)
                        await refused.commit()
                        for _ in range(20):
                            await refused.append(SECOND[:640])
                        while True:
                            await refused.receive()
        for _ in range(CONNECTIONS_PER_SESSION + 2):  # Gone while the server makes it wait for room.
            async with realtime(small) as gone:
                await gone.append(SECOND)
                await gone.commit()
                for _ in range(6):
                    await gone.append(14 * SECOND)
                gone.socket.transport.abort()
        async with asyncio.timeout(60):
            while not await serves(small):  # noqa: ASYNC110 - another process sets no event of ours
                await asyncio.sleep(0.2)
        async with AsyncExitStack() as stack:  # As many places as at the start.
            for _ in range(CONNECTIONS_PER_SESSION):
                await stack.enter_async_context(realtime(small))


async def serves(speech: RunningSpeech) -> bool:
    try:
        async with realtime(speech) as client:
            return await client.say(SECOND, real_time=False) == ""
    except (AssertionError, ConnectionClosed):
        return False


async def test_connections_are_bounded(tmp_path: Path) -> None:
    with RunningSpeech(tmp_path, sessions=1) as small:
        async with AsyncExitStack() as stack:
            for _ in range(CONNECTIONS_PER_SESSION):
                await stack.enter_async_context(realtime(small))
            async with connect(small.realtime_url, proxy=None) as one_more:
                assert json.loads(await one_more.recv())["code"] == "capacity"
                with pytest.raises(ConnectionClosed) as closed:
                    await one_more.recv()
        assert closed.value.rcvd and closed.value.rcvd.code == 1013


async def test_sessions_that_rest_take_no_capacity(speech: RunningSpeech) -> None:
    async with realtime(speech) as one, realtime(speech) as two, realtime(speech) as three:
        for client in (one, two, three):
            assert await client.say(SECOND, real_time=False) == ""


async def test_clients_that_leave_mid_utterance_give_their_decoders_back(speech: RunningSpeech) -> None:
    for _ in range(6):
        async with asyncio.timeout(20), realtime_with_a_decoder(speech):
            pass


@asynccontextmanager
async def realtime_with_a_decoder(speech: RunningSpeech) -> AsyncIterator[Realtime]:
    """Tries again while the server is full."""
    while True:
        async with realtime(speech) as client:
            try:
                await begin(client)
            except AssertionError:
                continue
            yield client
            return


async def begin(client: Realtime) -> None:
    """An utterance that has a decoder: its first words have come back."""
    pcm = sample("slt")[0]
    for first in range(0, 4 * 32_000, 32_000):
        await client.append(pcm[first : first + 32_000])
    await client.commit()
    event = await client.receive()
    assert event["type"] == "transcription.delta", event


@pytest.mark.parametrize(
    "header", [None, "Bearer wrong", "Bearer", "bearer key-of-the-test", "Basic key-of-the-test"]
)
async def test_a_key_is_asked_for_at_the_handshake(locked_speech: RunningSpeech, header: str | None) -> None:
    headers = {"Authorization": header} if header else {}
    with pytest.raises(InvalidStatus) as refused:
        async with connect(locked_speech.realtime_url, additional_headers=headers, proxy=None):
            pass
    assert refused.value.response.status_code == 401


async def test_the_right_key_opens(locked_speech: RunningSpeech) -> None:
    async with realtime(locked_speech) as client:
        assert await client.say(SECOND, real_time=False) == ""


async def test_base64_of_the_whole_alphabet_is_audio(speech: RunningSpeech) -> None:
    async with realtime(speech) as client:
        await client.send("input_audio_buffer.append", audio=base64.b64encode(bytes(range(256))).decode())
        await client.commit()
        await client.commit(final=True)
        assert await client.done() == ""
