"""Whether an engine may be at an address that somebody typed."""

import functools
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from types import MappingProxyType

from django.conf import settings

from backend.questions import Question
from contract.addresses import AddressRefused, Refusal, destination_of, require_allowed
from contract.engines import CATALOGUE

RESOLVED_WITHIN_S = 3.0

IN_WORDS = {
    Refusal.NO_URL: "This is not an address such as https://host/path.",
    Refusal.SCHEME: "An address begins with https://, wss://, http:// or ws://; for NVIDIA Riva with grpcs:// or grpc://.",
    Refusal.USERINFO: "An address holds no user name or password; the key has a field of its own.",
    Refusal.FRAGMENT: "An address has no part that begins with #.",
    Refusal.HOST: "The host of this address is written in a way that could mean another one.",
    Refusal.UNKNOWN_HOST: "There is no such host, or nobody could say within {seconds:.0f} seconds.",
    Refusal.NOT_PUBLIC: "This address leads into a private network.{vouch}",
    Refusal.PLAIN: "This connection would not be encrypted: use https:// or wss://.{vouch}",
    Refusal.NOT_LISTED: "This engine can only be at a host that the operator has listed.{vouch}",
}
VOUCH = " Whoever runs this deployment can list the host in ENGINE_ALLOWED_HOSTS."


_looked_up: ContextVar[Mapping[str, tuple[str, ...]]] = ContextVar("_looked_up", default=MappingProxyType({}))


@contextmanager
def looked_up(urls: Iterable[str]) -> Iterator[None]:
    """Their hosts are asked for now, and not again inside. Whoever writes does it before the transaction begins:
    SQLite has one write lock, and a look-up that hangs would keep heartbeats from being heard."""
    hosts = set()
    for url in urls:
        with suppress(AddressRefused):
            hosts.add(destination_of(url).host)
    asked = {host: Question(functools.partial(_resolve, host)).put() for host in hosts}
    until_s = time.monotonic() + RESOLVED_WITHIN_S
    token = _looked_up.set({host: answer.answer(until_s=until_s) or () for host, answer in asked.items()})
    try:
        yield
    finally:
        _looked_up.reset(token)


def why_refused(*, engine: str, url: str) -> str | None:
    """For people; None: it may be there. The URL's host is one that was looked up."""
    try:
        destination = destination_of(url)
        require_allowed(
            destination,
            addresses=_looked_up.get().get(destination.host, ()),
            allowlist=settings.ENGINE_ALLOWED_HOSTS,
            plain_is_allowed=settings.IS_LOCAL,
            must_be_listed=CATALOGUE[engine].dials_itself,
        )
    except AddressRefused as refused:
        return IN_WORDS[refused.refusal].format(seconds=RESOLVED_WITHIN_S, vouch=VOUCH)
    return None


def _resolve(host: str) -> tuple[str, ...]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))
