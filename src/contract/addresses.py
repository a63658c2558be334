"""Where engines may be: rules for URLs that somebody typed, the same when they are saved and before each connect.

Decided here without a look-up: whoever resolves a name asks about every address it got, and connects to one of these.
"""

import enum
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443, "grpc": 50051, "grpcs": 443}

MAX_URL_CHARS = 500

_NETLOC = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:]+)(?::([0-9]{1,5}))?")
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")

_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
# IPv4 in other clothes; with NAT64 an IPv6-only machine reaches all of IPv4, so there the address inside decides.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Not reachable from everywhere, or a tunnel to who knows where; Python's own tables differ between its versions.
_SPECIAL = tuple(
    ipaddress.ip_network(network)
    for network in ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)


class Refusal(enum.StrEnum):
    """Why an engine may not be there."""

    NO_URL = "no_url"
    SCHEME = "scheme"
    USERINFO = "userinfo"
    FRAGMENT = "fragment"
    HOST = "host"
    UNKNOWN_HOST = "unknown_host"
    NOT_PUBLIC = "not_public"
    PLAIN = "plain"
    NOT_LISTED = "not_listed"


class AddressRefused(ValueError):
    """An engine may not be there; `refusal` says why, never where."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"address refused: {refusal}")
        self.refusal = refusal


@dataclass(frozen=True, kw_only=True)
class Destination:
    """What a URL makes a client connect to. `host` is a lower-case name, or an address in its usual form."""

    scheme: str
    host: str
    port: int

    @property
    def is_encrypted(self) -> bool:
        return self.scheme in ("https", "wss", "grpcs")


@dataclass(frozen=True, kw_only=True)
class Allowlist:
    """What an operator vouches for, whatever it resolves to and however it is reached; port None: any."""

    hosts: frozenset[tuple[str, int | None]] = frozenset()
    networks: frozenset[Network] = frozenset()

    def has_host(self, destination: Destination) -> bool:
        return not self.hosts.isdisjoint({(destination.host, None), (destination.host, destination.port)})

    def has_address(self, address: Address, *, port: int) -> bool:
        return any(address in network for network in self.networks) or not self.hosts.isdisjoint(
            {(str(address), None), (str(address), port)}
        )


def allowlist_of(entries: Iterable[str]) -> Allowlist:
    """Each is `host`, `host:port`, an address, or a network such as `10.0.0.0/8`. Raises ValueError."""
    hosts: set[tuple[str, int | None]] = set()
    networks: set[Network] = set()
    for entry in entries:
        if "/" in entry:
            networks.add(ipaddress.ip_network(entry, strict=False))
        else:
            is_bare_v6 = entry.count(":") > 1 and not entry.startswith("[")
            hosts.add(_host_and_port(f"[{entry}]" if is_bare_v6 else entry))
    return Allowlist(hosts=frozenset(hosts), networks=frozenset(networks))


def destination_of(url: str) -> Destination:
    """Raises AddressRefused for what no client should be given, whatever it resolves to."""
    if not url.isascii() or len(url) > MAX_URL_CHARS or re.search(r"[\x00-\x20\x7f\\]", url):
        raise AddressRefused(Refusal.NO_URL)
    try:
        parts = urlsplit(url)
    except ValueError:
        raise AddressRefused(Refusal.NO_URL) from None
    if parts.scheme not in PORTS:
        raise AddressRefused(Refusal.SCHEME if parts.scheme else Refusal.NO_URL)
    if "@" in parts.netloc:
        raise AddressRefused(Refusal.USERINFO)
    if "#" in url:
        raise AddressRefused(Refusal.FRAGMENT)
    try:
        host, port = _host_and_port(parts.netloc)
    except ValueError:
        raise AddressRefused(Refusal.HOST) from None
    return Destination(scheme=parts.scheme, host=host, port=port or PORTS[parts.scheme])


def require_allowed(
    destination: Destination,
    *,
    addresses: Iterable[str],
    allowlist: Allowlist,
    plain_is_allowed: bool = False,
    must_be_listed: bool = False,
) -> None:
    """Raises AddressRefused unless each of `addresses`, all that the host resolves to, may be connected to."""
    if allowlist.has_host(destination):
        return
    found = [_unwrapped(ipaddress.ip_address(address)) for address in addresses]
    if not found:
        raise AddressRefused(Refusal.UNKNOWN_HOST)
    for address in found:
        if allowlist.has_address(address, port=destination.port):
            continue
        if must_be_listed:
            raise AddressRefused(Refusal.NOT_LISTED)
        if not is_public(address):
            raise AddressRefused(Refusal.NOT_PUBLIC)
        if not (destination.is_encrypted or plain_is_allowed):
            raise AddressRefused(Refusal.PLAIN)


def is_public(address: Address) -> bool:
    """Whether anybody on the internet could be meant."""
    address = _unwrapped(address)
    if isinstance(address, ipaddress.IPv6Address) and address not in _PUBLIC_V6:
        return False
    if any(address in network for network in _SPECIAL):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


def _unwrapped(address: Address) -> Address:
    """IPv4 that is written as IPv6 is judged as what it is."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def _host(text: str) -> str:
    """A name or an address in its one usual form; some resolvers take `0177.1`, `0x7f.1` and `2130706433` for one."""
    host = text.lower().removesuffix(".")
    if ":" in host:
        return str(_unwrapped(ipaddress.IPv6Address(host)))
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        return str(ipaddress.IPv4Address(host))
    if len(host) > 253 or not _NAME.fullmatch(host):
        raise ValueError("name")
    return host


def _host_and_port(netloc: str) -> tuple[str, int | None]:
    written = _NETLOC.fullmatch(netloc)
    if written is None:
        raise ValueError("host and port")
    host, port = written.groups()
    if port is not None and not 0 < int(port) < 65536:
        raise ValueError("port")
    return _host(host.strip("[]")), int(port) if port else None
