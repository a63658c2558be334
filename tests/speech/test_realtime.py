import asyncio
import base64
import json

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

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


async def test_clipping_is_survived(speech: RunningSpeech) -> None:
    square = (b"\xff\x7f" * 40 + b"\x00\x80" * 40) * 400
    async with realtime(speech) as client:
        await client.say(square, real_time=False)
        pcm, text = sample("awb")
        loud = bytes(b for i in range(0, len(pcm), 2) for b in clipped(pcm[i : i + 2]))
        assert word_error_rate(text, await client.say(loud, real_time=False)) <= 0.6


def clipped(one: bytes) -> bytes:
    return max(-32_768, min(32_767, 8 * int.from_bytes(one, "little", signed=True))).to_bytes(
        2, "little", signed=True
    )


async def test_audio_between_the_final_commit_and_done_is_thrown_away(speech: RunningSpeech) -> None:
    pcm, text = sample("awb")
    async with realtime(speech) as client:
        await client.append(pcm)
        await client.commit()
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
        ('{"type": "input_audio_buffer.append", "audio": "AAA="}', "invalid_audio"),
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


async def test_sessions_that_rest_take_no_capacity(speech: RunningSpeech) -> None:
    async with realtime(speech) as one, realtime(speech) as two, realtime(speech) as three:
        for client in (one, two, three):
            assert await client.say(SECOND, real_time=False) == ""


async def test_a_client_that_leaves_mid_utterance_gives_its_decoder_back(speech: RunningSpeech) -> None:
    for _ in range(4):
        async with realtime(speech) as one, realtime(speech) as two:
            await begin(one)
            await begin(two)
        await until_decoders_are_free(speech)


async def begin(client: Realtime) -> None:
    """An utterance that has a decoder: its first words have come back."""
    await client.append(sample("slt")[0][: 4 * 32_000])
    await client.commit()
    assert (await client.receive())["type"] == "transcription.delta"


async def until_decoders_are_free(speech: RunningSpeech) -> None:
    async with asyncio.timeout(10):
        while True:
            async with realtime(speech) as one, realtime(speech) as two:
                try:
                    async with asyncio.TaskGroup() as both:
                        for client in (one, two):
                            both.create_task(client.say(SECOND, real_time=False))
                    return
                except* (AssertionError, ConnectionClosed):
                    pass


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
