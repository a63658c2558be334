"""Where a typed address may lead: nowhere but to what was judged, whatever names, redirects and literals say."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from livekit import rtc
from livekit.agents import APIConnectionError, APIConnectOptions

from agents.runtime.errors import EngineOutOfBounds, OptionsError
from agents.stt.dialing import Bounds, DialingRules
from agents.stt.registry import EngineDefaults, engine_of, surroundings_of
from contract.addresses import Allowlist, allowlist_of
from contract.engines import EngineSetup
from tests.support.ports import free_port

ELSEWHERE, HERE = "127.0.0.2", "127.0.0.1"
"""Where an engine may be, as the operator says, and where it may not."""
LISTED = allowlist_of([ELSEWHERE])
DEFAULTS = EngineDefaults(provider="embedded", speech_url="http://127.0.0.1:1")


class Server:
    """Answers every request with `answer`; what it was connected by and asked is counted."""

    def __init__(self, answer: str = "200 OK") -> None:
        self.answer = answer
        self.connections = 0
        self.asked: list[str] = []
        self.server_names: list[str] = []

    async def serve(self, host: str, port: int, *, tls: ssl.SSLContext | None = None) -> asyncio.Server:
        if tls:
            tls.sni_callback = lambda _, name, __: self.server_names.append(name or "")
        return await asyncio.start_server(self._answer, host, port, ssl=tls)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(f"HTTP/1.1 {self.answer}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok".encode())
        await writer.drain()
        writer.close()


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
async def canary(port: int) -> AsyncIterator[Server]:
    """On our own machine, where no typed address may lead."""
    server = Server()
    async with await server.serve(HERE, port):
        yield server


@pytest.fixture
async def engine(port: int) -> AsyncIterator[Server]:
    """At the same port of the address that is allowed."""
    server = Server()
    async with await server.serve(ELSEWHERE, port):
        yield server


class Names:
    """Look-ups, answered in turn; the last answer stays."""

    def __init__(self, *answers: tuple[str, ...]) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> tuple[str, ...]:
        self.asked.append((host, port))
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def bounds(url: str, names: Names | None = None, *, allowlist: Allowlist = LISTED) -> Bounds:
    look_up = names or Names((ELSEWHERE,))
    return Bounds(url, rules=DialingRules(allowlist=allowlist, plain_is_allowed=True, look_up=look_up))


Ask = Callable[[Bounds, str], Awaitable[int]]


async def request(inside: Bounds, url: str) -> int:
    async with inside.open_session() as session, session.get(url) as answer:
        return answer.status


async def websocket(inside: Bounds, url: str) -> int:
    async with inside.open_session() as session:
        try:
            await session.ws_connect(url)
        except aiohttp.WSServerHandshakeError as error:
            return error.status
    return 101


def by_any_client() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("ask", [request, websocket])


@by_any_client()
async def test_an_allowed_address_is_connected_to_by_one_look_up_and_told_the_name(
    ask: Ask, engine: Server, canary: Server, port: int
) -> None:
    names = Names((ELSEWHERE,), (HERE,))
    url = f"http://engine.test:{port}/v1"
    assert await ask(bounds(url, names), f"{url}/audio") == 200

    assert names.asked == [("engine.test", port)]
    assert (engine.connections, canary.connections) == (1, 0)
    assert f"host: engine.test:{port}\r\n" in engine.asked[0].lower()


@by_any_client()
@pytest.mark.parametrize(
    "found", [(HERE,), (ELSEWHERE, HERE), (HERE, ELSEWHERE), ("::ffff:127.0.0.1",), ("::1",)]
)
async def test_a_name_that_leads_to_us_as_well_is_connected_to_nowhere(
    ask: Ask, engine: Server, canary: Server, port: int, found: tuple[str, ...]
) -> None:
    url = f"http://engine.test:{port}/v1"
    with pytest.raises(EngineOutOfBounds):
        await ask(bounds(url, Names(found)), url)

    assert (engine.connections, canary.connections) == (0, 0)


@by_any_client()
async def test_a_name_that_leads_elsewhere_the_second_time_is_judged_again(
    ask: Ask, engine: Server, canary: Server, port: int
) -> None:
    url = f"http://engine.test:{port}/v1"
    inside = bounds(url, Names((ELSEWHERE,), (HERE,)))
    assert await ask(inside, url) == 200
    with pytest.raises(EngineOutOfBounds):
        await ask(inside, url)

    assert (engine.connections, canary.connections) == (1, 0)


@by_any_client()
@pytest.mark.parametrize("to", [HERE, "engine.test"])
@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(
    ask: Ask, engine: Server, canary: Server, port: int, code: int, to: str
) -> None:
    engine.answer = f"{code} Moved\r\nLocation: http://{to}:{port}/secrets"
    url = f"http://engine.test:{port}/v1"
    with pytest.raises(EngineOutOfBounds):
        await ask(bounds(url), url)

    assert (engine.connections, canary.connections) == (1, 0)


@by_any_client()
@pytest.mark.parametrize(
    "other", [HERE, "other.test", "[::ffff:127.0.0.1]", "[::1]", "2130706433", "0x7f.1", "127.1"]
)
async def test_a_client_that_is_sent_to_another_host_does_not_go(
    ask: Ask, canary: Server, port: int, other: str
) -> None:
    with pytest.raises(EngineOutOfBounds):
        await ask(bounds(f"http://engine.test:{port}"), f"http://{other}:{port}/v1")

    assert canary.connections == 0


@pytest.mark.parametrize(
    "host", [HERE, "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "169.254.169.254", "0.0.0.0", "10.0.0.1"]
)
def test_a_literal_address_is_judged_before_there_is_a_client(host: str) -> None:
    with pytest.raises(EngineOutOfBounds):
        bounds(f"https://{host}/v1")


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "https://a@b.test/", "https://2130706433/", "https://0177.1/"]
)
def test_what_is_no_plain_url_of_a_host_has_no_client(url: str) -> None:
    with pytest.raises(EngineOutOfBounds):
        bounds(url)


@by_any_client()
async def test_a_listed_literal_is_connected_to_without_a_look_up(
    ask: Ask, engine: Server, port: int
) -> None:
    names = Names((HERE,))
    url = f"http://[::ffff:{ELSEWHERE}]:{port}/v1" if ask is request else f"http://{ELSEWHERE}:{port}/v1"
    assert await ask(bounds(url, names), url) == 200

    assert names.asked == []


@by_any_client()
async def test_what_is_not_encrypted_goes_out_only_where_that_is_allowed(ask: Ask, port: int) -> None:
    url = f"http://engine.test:{port}/v1"
    inside = Bounds(url, rules=DialingRules(look_up=Names(("93.184.216.34",))))
    with pytest.raises(EngineOutOfBounds):
        await ask(inside, url)


async def test_the_next_address_is_tried_when_one_cannot_be_reached(engine: Server, port: int) -> None:
    url = f"http://engine.test:{port}/v1"
    both = allowlist_of(["127.0.0.3", ELSEWHERE])
    assert await request(bounds(url, Names(("127.0.0.3", ELSEWHERE)), allowlist=both), url) == 200


def certificate_of(name: str, directory: Path) -> Path:
    """Signed by itself: its own authority. With its key, as PEM."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = directory / f"{name}.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@pytest.mark.parametrize(("certified", "is_right"), [("engine.test", True), ("other.test", False)])
async def test_tls_asks_for_the_name_and_checks_it(
    certified: str, is_right: bool, port: int, tmp_path: Path
) -> None:
    pem = certificate_of(certified, tmp_path)
    trusting = ssl.create_default_context(cafile=str(pem))
    at_the_engine = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    at_the_engine.load_cert_chain(pem)
    engine, url = Server(), f"https://engine.test:{port}/v1"
    async with (
        await engine.serve(ELSEWHERE, port, tls=at_the_engine),
        bounds(url).open_session() as session,
    ):
        if is_right:
            async with session.get(url, ssl=trusting) as answer:
                assert answer.status == 200
        else:
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await session.get(url, ssl=trusting)

    assert engine.server_names == ["engine.test"]


async def test_an_engines_stream_fails_as_refused_and_says_nothing_of_the_address(
    canary: Server, port: int
) -> None:
    rules = DialingRules(plain_is_allowed=True, look_up=Names((HERE,)))
    setup = EngineSetup(engine="deepgram", base_url=f"http://engine.test:{port}/v1/listen", is_typed=True)
    engine = engine_of(setup, defaults=DEFAULTS, rules=rules)
    stream = engine.stream(conn_options=APIConnectOptions(max_retry=0, timeout=2.0))
    stream.push_frame(rtc.AudioFrame(bytes(640), 16_000, 1, 320))
    with pytest.raises(APIConnectionError) as failure:
        await anext(stream)
    await stream.aclose()
    await engine.aclose()

    assert isinstance(failure.value.__cause__, EngineOutOfBounds)
    assert str(failure.value.__cause__) == "the engine's address is not one that may be connected to"
    assert canary.connections == 0


def test_the_operators_own_addresses_are_not_judged() -> None:
    surroundings = surroundings_of(
        EngineSetup(engine="deepgram", base_url="http://127.0.0.1:1/v1/listen"), rules=DialingRules()
    )

    assert surroundings.open_http.__module__ == "agents.stt.dialing"
    assert not isinstance(getattr(surroundings.open_http, "__self__", None), Bounds)


@pytest.mark.parametrize(
    ("entry", "is_allowed"), [("riva.test", True), ("riva.test:50051", True), ("10.0.0.0/8", False)]
)
def test_an_engine_that_connects_by_itself_needs_its_host_on_the_list(entry: str, is_allowed: bool) -> None:
    # What is in no catalogue may do anything.
    setup = EngineSetup(engine="unknown", base_url="https://riva.test:50051", is_typed=True)
    rules = DialingRules(allowlist=allowlist_of([entry]))
    if is_allowed:
        surroundings_of(setup, rules=rules)
    else:
        with pytest.raises(EngineOutOfBounds):
            surroundings_of(setup, rules=rules)


def test_an_engine_that_is_not_installed_is_not_made() -> None:
    with pytest.raises(OptionsError):
        engine_of(EngineSetup(engine="unknown"), defaults=DEFAULTS, rules=DialingRules())
