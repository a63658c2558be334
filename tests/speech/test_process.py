"""What the server does as a process: its children, its end, its log."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.speech.test_realtime import begin
from tests.support.speech import RunningSpeech, realtime, sample
from tests.support.words import word_error_rate


def family(speech: RunningSpeech) -> list[psutil.Process]:
    return psutil.Process(speech.pid).children(recursive=True)


def decoders(speech: RunningSpeech) -> list[psutil.Process]:
    """The processes that are forks of a fork server, which is the server's own child."""
    found = []
    for child in family(speech):
        with contextlib.suppress(psutil.NoSuchProcess):  # ended since it was listed
            if child.ppid() != speech.pid:
                found.append(child)
    return found


async def eventually(holds: Callable[[], bool], *, within_s: float = 10) -> None:
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110 - other processes set no event of ours
            await asyncio.sleep(0.02)


def has_ended(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def all_ended(processes: list[psutil.Process]) -> bool:
    return all(has_ended(process) for process in processes)


async def test_there_are_as_many_decoders_as_sessions(tmp_path: Path) -> None:
    with RunningSpeech(tmp_path, sessions=3) as speech:
        assert len(decoders(speech)) == 3


async def test_a_decoder_killed_mid_utterance_fails_that_utterance_alone_and_is_replaced(
    tmp_path: Path,
) -> None:
    with RunningSpeech(tmp_path, sessions=1) as speech:
        async with realtime(speech) as client:
            await begin(client)
            (decoder,) = decoders(speech)
            decoder.kill()
            while (event := await client.receive())["type"] == "transcription.delta":
                pass
            assert (event["type"], event["code"]) == ("error", "processing_error")
            await eventually(lambda: [d.pid for d in decoders(speech)] not in ([], [decoder.pid]))
            await eventually(lambda: b'"model_loaded":true' in health(speech))
            pcm, text = sample("awb")
            assert word_error_rate(text, await client.say(pcm, real_time=False)) <= 0.1


async def test_decoders_that_die_at_rest_are_replaced(tmp_path: Path) -> None:
    with RunningSpeech(tmp_path, sessions=2) as speech:
        dead = decoders(speech)
        for decoder in dead:
            decoder.kill()
        await eventually(lambda: len(decoders(speech)) == 2 and not {*decoders(speech)} & {*dead})


async def test_the_process_that_decoders_are_forked_from_may_die_too(tmp_path: Path) -> None:
    with RunningSpeech(tmp_path, sessions=1) as speech:
        dead = family(speech)
        for child in dead:
            child.kill()
        await eventually(
            lambda: len(decoders(speech)) == 1 and not {*decoders(speech)} & {*dead}, within_s=20
        )
        async with realtime(speech) as client:
            pcm, text = sample("awb")
            await eventually(lambda: b'"model_loaded":true' in health(speech))
            assert word_error_rate(text, await client.say(pcm, real_time=False)) <= 0.1


@pytest.mark.parametrize("end", ["terminate", "kill", "interrupt"])
async def test_every_child_ends_with_the_server_even_mid_utterance(tmp_path: Path, end: str) -> None:
    with RunningSpeech(tmp_path, sessions=2) as speech:
        async with realtime(speech) as client:
            await begin(client)
            children, began = family(speech), time.monotonic()
            {"terminate": speech.process.terminate, "kill": speech.process.kill}.get(end, speech.interrupt)()
            await asyncio.to_thread(speech.process.wait, 5)
            assert time.monotonic() - began < 2
            await eventually(lambda: all_ended(children))


async def test_a_busy_port_is_said_and_ends_the_server(tmp_path: Path, speech: RunningSpeech) -> None:
    second = RunningSpeech(tmp_path, sessions=1)
    second.port = speech.port
    with second:
        assert await asyncio.to_thread(second.process.wait, 30) != 0
        assert "address already in use" in second.log


async def test_no_word_that_was_said_is_in_the_log(tmp_path: Path) -> None:
    with RunningSpeech(tmp_path, sessions=1) as speech:
        async with realtime(speech) as client:
            pcm, text = sample("slt")
            said = await client.say(pcm, real_time=False)
            await client.socket.send('{"type": "input_audio_buffer.append", "audio": "office-holiday"}')
            await client.receive()
            await begin(client)
            await client.commit()
        words = {word for word in (text + " " + said).split() if len(word) > 5}
        assert not {word for word in words | {"office-holiday"} if word in speech.log}


async def test_the_sockets_answer_while_decoders_are_busy(tmp_path: Path) -> None:
    with RunningSpeech(tmp_path, sessions=2) as speech:
        async with realtime(speech) as one, realtime(speech) as two:
            busy = [
                asyncio.create_task(client.say(sample("slt")[0], real_time=False)) for client in (one, two)
            ]
            slowest_s = 0.0
            while not all(task.done() for task in busy):
                began = time.monotonic()
                await asyncio.to_thread(health, speech)
                slowest_s = max(slowest_s, time.monotonic() - began)
            await asyncio.gather(*busy)
        assert slowest_s < 0.5


def health(speech: RunningSpeech) -> bytes:
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(f"{speech.url}/health", timeout=5) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.read()
