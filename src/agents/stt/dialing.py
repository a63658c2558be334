"""How engines' clients reach the network: HTTP sessions that they are handed rather than make.

An address that somebody typed is judged by the rules of `contract.addresses` before each connection. Its sessions
look the host up themselves, connect to an address that was judged and to no other host, and follow nobody elsewhere.
The operator's own addresses are not judged.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from agents.runtime.errors import EngineOutOfBounds
from contract.addresses import AddressRefused, Allowlist, destination_of, require_allowed

OpenSession = Callable[[], aiohttp.ClientSession]
"""Whoever asks for a session closes it."""


def open_session() -> aiohttp.ClientSession:
    """Without a limit of connections: how many people one worker transcribes is limited elsewhere."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar())


LookUp = Callable[[str, int], Awaitable[tuple[str, ...]]]
"""A host and a port to the addresses it has. Raises OSError."""


async def look_up(host: str, port: int) -> tuple[str, ...]:
    """As the machine does."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(where[0]) for *_, where in found))


@dataclass(frozen=True, kw_only=True)
class DialingRules:
    """The deployment's, for addresses that somebody typed."""

    allowlist: Allowlist = field(default_factory=Allowlist)
    plain_is_allowed: bool = False
    look_up: LookUp = look_up


class Bounds:
    """The one host and port of a typed address, and where it may be."""

    def __init__(self, base_url: str, *, rules: DialingRules) -> None:
        """Raises EngineOutOfBounds."""
        self._rules = rules
        try:
            self._destination = destination_of(base_url)
        except AddressRefused as refused:
            raise _out_of_bounds() from refused
        if _is_address(self._destination.host):
            self._require((self._destination.host,))

    def require_listed(self) -> None:
        """For a client that connects by itself, so that its host has to be vouched for. Raises EngineOutOfBounds."""
        host = self._destination.host
        self._require((host,) if _is_address(host) else (), must_be_listed=True)

    def require_inside(self, origin: str) -> None:
        """That this is where the typed address leads. Raises EngineOutOfBounds."""
        try:
            there = destination_of(origin)
        except AddressRefused as refused:
            raise _out_of_bounds() from refused
        ours = self._destination
        if (there.host, there.port, there.is_encrypted) != (ours.host, ours.port, ours.is_encrypted):
            raise _out_of_bounds()

    async def addresses(self) -> tuple[str, ...]:
        """All that the host has now, every one judged. Raises OSError, EngineOutOfBounds."""
        host, port = self._destination.host, self._destination.port
        found = (host,) if _is_address(host) else await self._rules.look_up(host, port)
        self._require(found)
        return found

    def open_session(self) -> aiohttp.ClientSession:
        """Takes the place of `open_session`; fails with EngineOutOfBounds."""

        async def stay(
            request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
        ) -> aiohttp.ClientResponse:
            self.require_inside(str(request.url.origin()))
            answer = await handler(request)
            if 300 <= answer.status < 400:  # who was vouched for must not send us to somebody who was not
                answer.close()
                raise _out_of_bounds()
            return answer

        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, resolver=_Resolver(self), use_dns_cache=False),
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(stay,),
        )

    def _require(self, addresses: tuple[str, ...], *, must_be_listed: bool = False) -> None:
        try:
            require_allowed(
                self._destination,
                addresses=addresses,
                allowlist=self._rules.allowlist,
                plain_is_allowed=self._rules.plain_is_allowed,
                must_be_listed=must_be_listed,
            )
        except AddressRefused as refused:
            raise _out_of_bounds() from refused


class _Resolver(AbstractResolver):
    """aiohttp connects to what this finds. It does not ask about a host that is an address; `Bounds` judges that."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in await self._bounds.addresses()
        ]

    async def close(self) -> None:
        pass


def _is_address(host: str) -> bool:
    """Rather than a name that has to be looked up."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _out_of_bounds() -> EngineOutOfBounds:
    """A constant sentence: why, and what was found there, is nothing for whoever typed it."""
    return EngineOutOfBounds("the engine's address is not one that may be connected to")
