"""The client of Riva by itself, against a server made of NVIDIA's protos; its part of the contract is elsewhere."""

import asyncio
import datetime
import ipaddress
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from livekit.agents import APIConnectOptions, APIError, stt
from livekit.plugins import nvidia
from riva.client.proto import riva_asr_pb2

from agents.runtime.errors import (
    EngineFault,
    EngineFull,
    EngineLost,
    EngineOutOfBounds,
    EngineRefused,
    OptionsError,
)
from agents.runtime.settings import read_settings
from agents.stt.dialing import DialingRules
from agents.stt.nvidia import NvidiaOptions, NvidiaSTT, options_of
from agents.stt.nvidia.protocol import Heard, Words, heard, language_of
from agents.stt.registry import EngineDefaults, engine_of
from contract.addresses import allowlist_of
from contract.engines import EngineSetup
from tests.support.engines import listening
from tests.support.engines.listening import fault_of
from tests.support.engines.microphone import push, utterance
from tests.support.livekit import ROOT
from tests.support.ports import free_port
from tests.support.scripted_riva import Script, ScriptedRiva

KINDS = stt.SpeechEventType
ONCE = APIConnectOptions(max_retry=0, timeout=2.0)
KEY = "a-key-that-nobody-may-see"
FUNCTION = "0a1b2c3d-0000-4000-8000-000000000001"
GIVEN = {"base_url": "", "model": "", "api_key": ""}


@pytest.fixture(scope="module")
def running() -> Iterator[ScriptedRiva]:
    with ScriptedRiva(key=KEY) as server:
        yield server


@pytest.fixture
def server(running: ScriptedRiva) -> Iterator[ScriptedRiva]:
    running.behave()
    yield running
    assert running.seen().violations == ()


@pytest.fixture
def engine(server: ScriptedRiva) -> NvidiaSTT:
    options = NvidiaOptions(
        target=server.target, use_tls=False, function_id=FUNCTION, model="parakeet", api_key=KEY
    )
    return NvidiaSTT(options, vocabulary=lambda: ("Grace Hopper", "COBOL"))


def finals(events: list[stt.SpeechEvent]) -> list[stt.SpeechData]:
    return [event.alternatives[0] for event in events if event.type is KINDS.FINAL_TRANSCRIPT]


@pytest.mark.parametrize(
    ("tag", "wanted"),
    [
        ("en", "en-US"),
        ("en-gb", "en-GB"),
        ("pt_br", "pt-BR"),
        ("DE", "de-DE"),
        ("no", "nb-NO"),
        ("zh-Hant-TW", "zh-CN"),
        ("eo", "eo"),
        ("multi", "multi"),
        ("", "en-US"),
        ("any language", "en-US"),
    ],
)
def test_a_language_goes_out_with_its_region(tag: str, wanted: str) -> None:
    assert language_of(tag) == wanted


@pytest.mark.parametrize(
    ("given", "target", "use_tls"),
    [
        ({"api_key": KEY}, "grpc.nvcf.nvidia.com:443", True),
        ({"base_url": "riva.example:50051"}, "riva.example:50051", True),
        ({"base_url": "riva.example:50051", "use_tls": "false"}, "riva.example:50051", False),
        ({"base_url": "grpc://10.0.0.7:50051"}, "10.0.0.7:50051", False),
        ({"base_url": "grpcs://[2001:db8::1]:443/"}, "[2001:db8::1]:443", True),
        ({"base_url": "grpcs://riva.example:443", "use_tls": "true"}, "riva.example:443", True),
    ],
)
def test_ones_own_server_is_reached_with_tls_or_without(
    given: dict[str, str], target: str, use_tls: bool
) -> None:
    options = options_of(**(GIVEN | given))

    assert (options.target, options.use_tls) == (target, use_tls)


def test_only_the_hosted_service_is_told_a_function_unless_one_is_given() -> None:
    assert dict(options_of(**(GIVEN | {"api_key": KEY})).metadata).keys() == {"authorization", "function-id"}
    assert options_of(**(GIVEN | {"base_url": "grpc://riva:50051"})).metadata == ()
    own = options_of(**(GIVEN | {"base_url": "grpc://riva:50051", "function_id": FUNCTION}))
    assert own.metadata == (("function-id", FUNCTION),)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"api_key": KEY, "use_tls": "false"},
        {"api_key": "a\nkey"},
        {"api_key": KEY, "function_id": "no id\r\n"},
        {"base_url": "https://riva.example:443"},
        {"base_url": "grpc://riva.example"},
        {"base_url": "grpc://user@riva.example:1"},
        {"base_url": "grpc://riva.example:1/path"},
        {"base_url": "unix:/run/riva.sock"},
        {"base_url": "riva.example:70000"},
        {"base_url": "riva.example:1", "use_tls": "yes"},
        {"base_url": "grpc://riva.example:1", "use_tls": "true"},
    ],
)
def test_a_setup_that_cannot_work_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(OptionsError):
        options_of(**(GIVEN | wrong))


def test_the_parts_of_an_interim_are_one_and_finals_stand_apart() -> None:
    def result(text: str, *, is_final: bool = False) -> riva_asr_pb2.StreamingRecognitionResult:
        word = riva_asr_pb2.WordInfo(word=text, start_time=100, end_time=250)
        alternative = riva_asr_pb2.SpeechRecognitionAlternative(transcript=text, words=[word])
        return riva_asr_pb2.StreamingRecognitionResult(alternatives=[alternative], is_final=is_final)

    told = heard(
        riva_asr_pb2.StreamingRecognizeResponse(
            results=[result("one ", is_final=True), result("two "), result("three ")]
        )
    )

    assert told == Heard(
        finals=(Words(text="one", start_s=0.1, end_s=0.25),),
        interim=Words(text="two three", start_s=0.1, end_s=0.25),
    )


async def test_a_call_says_which_function_key_language_and_words(
    engine: NvidiaSTT, server: ScriptedRiva
) -> None:
    async with engine.stream(language="fr", conn_options=ONCE) as stream:
        push(stream, utterance(1))
        stream.end_input()
        await listening.heard(stream)

    [call] = server.calls
    assert call.config is not None
    assert {name: call.metadata[name] for name in ("authorization", "function-id")} == {
        "authorization": f"Bearer {KEY}",
        "function-id": FUNCTION,
    }
    assert (call.config.language_code, call.config.model) == ("fr-FR", "parakeet")
    [context] = call.config.speech_contexts
    assert (list(context.phrases), context.boost) == (["Grace Hopper", "COBOL"], 20.0)
    assert (call.audio_bytes, call.is_half_closed) == (51_200, True)


async def test_finals_at_pauses_of_its_own_are_where_their_words_were(
    engine: NvidiaSTT, server: ScriptedRiva
) -> None:
    pause = np.zeros(8_000, np.int16)
    async with engine.stream(language="en", conn_options=ONCE) as stream:
        push(stream, utterance(1))
        stream.flush()
        push(stream, np.concatenate([utterance(2, 3), pause, utterance(4)]))
        stream.end_input()
        events = await listening.heard(stream)

    said = finals(events)
    assert [final.text for final in said] == ["w001", "w002 w003", "w004"]
    for final, (start_s, end_s) in zip(said[1:], [(2.083, 2.677), (4.45, 4.51)], strict=True):
        assert (final.start_time, final.end_time) == pytest.approx((start_s, end_s), abs=0.02)
    assert sum(event.type is KINDS.END_OF_SPEECH for event in events) == 2
    assert len(server.calls) == 2


async def test_a_model_that_makes_no_finals_is_taken_at_its_last_word(
    engine: NvidiaSTT, server: ScriptedRiva
) -> None:
    server.follow(Script(makes_finals=False), times=None)
    async with engine.stream(language="en", conn_options=ONCE) as stream:
        push(stream, utterance(1, 2, 3))
        stream.end_input()
        events = await listening.heard(stream)

    assert [final.text for final in finals(events)] == ["w001 w002 w003"]
    assert events[-1].type is KINDS.END_OF_SPEECH


@pytest.mark.parametrize(
    ("code", "cause", "status"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, EngineRefused, 401),
        (grpc.StatusCode.PERMISSION_DENIED, EngineRefused, 403),
        (grpc.StatusCode.NOT_FOUND, EngineRefused, 404),
        (grpc.StatusCode.INVALID_ARGUMENT, EngineRefused, 404),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, EngineFull, 429),
        (grpc.StatusCode.UNAVAILABLE, EngineLost, 500),
        (grpc.StatusCode.INTERNAL, EngineLost, 500),
    ],
)
async def test_a_call_that_is_refused_while_audio_is_under_way_is_of_its_kind_every_time(
    engine: NvidiaSTT, server: ScriptedRiva, code: grpc.StatusCode, cause: type[EngineFault], status: int
) -> None:
    server.follow(Script(refuses=code), times=None)
    faults = []
    for _ in range(5):  # grpc.aio alone would tell the status only now and then
        async with engine.stream(language="en", conn_options=ONCE) as stream:
            push(stream, utterance(1, seconds=5.0))
            stream.flush()
            faults.append(await fault_of(stream))

    assert {(type(fault), fault.status) for fault in faults} == {(cause, status)}


def test_an_address_that_was_typed_has_to_be_on_the_allowlist() -> None:
    setup = EngineSetup(engine="nvidia", base_url="grpc://riva.internal:50051", is_typed=True)
    defaults = EngineDefaults(provider="embedded", speech_url="http://127.0.0.1:1")

    with pytest.raises(EngineOutOfBounds):
        engine_of(setup, defaults=defaults, rules=DialingRules())
    listed = DialingRules(allowlist=allowlist_of(["riva.internal:50051"]))
    engine = engine_of(setup, defaults=defaults, rules=listed)
    assert isinstance(engine, NvidiaSTT)
    assert (engine.options.target, engine.options.use_tls) == ("riva.internal:50051", False)


def test_the_deployments_function_is_that_of_its_provider_alone() -> None:
    environment = {
        "LIVEKIT_API_KEY": "key",
        "LIVEKIT_API_SECRET": "s" * 32,
        "INTERNAL_API_SECRET": "t" * 32,
        "STT_PROVIDER": "nvidia",
        "STT_BASE_URL": "grpcs://riva.internal:443",
        "NVIDIA_FUNCTION_ID": FUNCTION,
    }
    settings = read_settings(environment)
    defaults = EngineDefaults(
        provider=settings.stt_provider,
        base_url=settings.stt_base_url,
        options=settings.stt_options,
        speech_url=settings.speech_url,
    )

    silent, typed = (
        defaults.complete(EngineSetup(engine="nvidia", base_url=base_url))
        for base_url in ("", "grpc://other.internal:50051")
    )
    assert (silent.base_url, silent.option("function_id")) == ("grpcs://riva.internal:443", FUNCTION)
    assert typed.option("function_id") == ""
    assert read_settings(environment | {"STT_PROVIDER": "deepgram"}).stt_options == ()


async def test_where_nobody_listens_the_stream_fails_at_once() -> None:
    engine = NvidiaSTT(NvidiaOptions(target=f"127.0.0.1:{free_port()}", use_tls=False))
    started = time.monotonic()
    async with engine.stream(conn_options=APIConnectOptions(max_retry=0, timeout=5.0)) as stream:
        push(stream, utterance(1))
        assert type(await fault_of(stream)) is EngineLost

    assert time.monotonic() - started < 2


async def test_the_key_goes_in_the_metadata_and_nothing_said_or_secret_into_a_log(
    engine: NvidiaSTT, server: ScriptedRiva, caplog: pytest.LogCaptureFixture
) -> None:
    errors: list[Any] = []
    engine.on("error", errors.append)
    with caplog.at_level(logging.DEBUG):
        for script in (Script(says_rubbish=True), Script(refuses=grpc.StatusCode.UNAUTHENTICATED)):
            server.follow(script, times=None)
            async with engine.stream(language="en", conn_options=ONCE) as stream:
                push(stream, utterance(1))
                stream.end_input()
                try:
                    await listening.heard(stream)
                except APIError as error:
                    logging.getLogger("agents").exception("a test looks at how this prints")
                    errors += [error, error.__cause__, error.__cause__ and error.__cause__.__context__]

    logged = caplog.text + "".join(str(vars(record)) for record in caplog.records)
    for secret in (KEY, "w001", "garbage"):
        assert secret not in logged + repr(errors) + repr(engine.options)


async def test_livekits_own_client_hears_the_same_from_the_scripted_server(server: ScriptedRiva) -> None:
    with ScriptedRiva() as open_to_all:  # its client sends no key without TLS
        plugin = nvidia.STT(api_key=KEY, server=open_to_all.target, use_ssl=False)
        async with plugin.stream(conn_options=ONCE) as stream:
            push(stream, utterance(1, 2, 3))
            stream.end_input()
            events = await listening.heard(stream)
        stream._auth.channel.close()  # type: ignore[attr-defined]

    assert [final.text.strip() for final in finals(events)] == ["w001 w002 w003"]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, grpc.ServerCredentials]:
    """Of 127.0.0.1, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = tmp_path_factory.mktemp("tls") / "roots.pem"
    path.write_bytes(signed)
    return path, grpc.ssl_server_credentials([(private, signed)])


SPEAK_OVER_TLS = """
import asyncio, sys
from livekit.agents import APIConnectOptions
from agents.stt.nvidia import NvidiaSTT, options_of
from tests.support.engines.microphone import push, utterance

async def main():
    options = options_of(base_url=f"grpcs://{sys.argv[1]}", model="", api_key=sys.argv[2])
    once = APIConnectOptions(max_retry=0, timeout=5.0)
    async with NvidiaSTT(options).stream(language="en", conn_options=once) as stream:
        push(stream, utterance(1, 2))
        stream.end_input()
        print(*[e.alternatives[0].text for e in [e async for e in stream] if e.type == "final_transcript"])

asyncio.run(main())
"""


async def test_over_tls_a_server_is_believed_by_its_certificate_alone(
    certificate: tuple[Path, grpc.ServerCredentials],
) -> None:
    roots, credentials = certificate
    with ScriptedRiva(key=KEY, credentials=credentials) as server:
        stranger = NvidiaSTT(options_of(base_url=server.target, model="", api_key=KEY))
        async with stranger.stream(conn_options=ONCE) as stream:
            push(stream, utterance(1))
            assert type(await fault_of(stream)) is EngineLost
        assert server.seen().tries == 0

        heard_there = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-W", "ignore", "-c", SPEAK_OVER_TLS, server.target, KEY],
            env=os.environ
            | {
                "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
                "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(roots),
            },
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )

    assert heard_there.stdout.split() == ["w001", "w002"]
