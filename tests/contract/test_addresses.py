"""Where engines may be: the rules for addresses that somebody typed."""

import ipaddress
import re
import socket
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.addresses import (
    AddressRefused,
    Allowlist,
    Refusal,
    allowlist_of,
    destination_of,
    is_public,
    require_allowed,
)

PUBLIC = "93.184.216.34"
PUBLIC_V6 = "2606:2800:220:1:248:1893:25c8:1946"
NOBODY = allowlist_of([])


def refusal_of(
    url: str,
    *,
    resolves_to: tuple[str, ...] = (PUBLIC,),
    allowlist: Allowlist = NOBODY,
    plain_is_allowed: bool = False,
    must_be_listed: bool = False,
) -> str | None:
    """None: it is accepted. A host that is an address resolves to itself."""
    try:
        destination = destination_of(url)
        try:
            addresses: tuple[str, ...] = (str(ipaddress.ip_address(destination.host)),)
        except ValueError:
            addresses = resolves_to
        require_allowed(
            destination,
            addresses=addresses,
            allowlist=allowlist,
            plain_is_allowed=plain_is_allowed,
            must_be_listed=must_be_listed,
        )
    except AddressRefused as refused:
        return refused.refusal
    return None


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com/v1",
        "wss://api.example.com",
        "grpcs://grpc.example.com:443",
        "https://API.Example.com.:8443/v1?version=1",
        f"https://{PUBLIC}/v1",
        f"https://[{PUBLIC_V6}]:443/v1",
        "https://[::ffff:93.184.216.34]/",
        "https://[64:ff9b::5db8:d822]/",
    ],
)
def test_a_public_address_over_an_encrypted_connection_is_accepted(url: str) -> None:
    assert refusal_of(url) is None


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", Refusal.NO_URL),
        ("api.example.com", Refusal.NO_URL),
        ("//api.example.com", Refusal.NO_URL),
        ("https://a.example/\nHost: x", Refusal.NO_URL),
        ("https://a.example\\@b.example/", Refusal.NO_URL),
        (" https://a.example", Refusal.NO_URL),
        ("https://a.example/" + "x" * 500, Refusal.NO_URL),
        ("https://\uff41.example/", Refusal.NO_URL),
        ("https://[::1/", Refusal.NO_URL),
        ("file:///etc/passwd", Refusal.SCHEME),
        ("gopher://a.example/", Refusal.SCHEME),
        ("ftp://a.example/", Refusal.SCHEME),
        ("javascript:alert(1)", Refusal.SCHEME),
        ("unix:/run/x.sock", Refusal.SCHEME),
        ("https://a@b.example/", Refusal.USERINFO),
        ("https://a:b@b.example/", Refusal.USERINFO),
        ("https://a.example/#x", Refusal.FRAGMENT),
        ("https://a.example/#", Refusal.FRAGMENT),
        ("https://", Refusal.HOST),
        ("https://:443/", Refusal.HOST),
        ("https://a.example:/", Refusal.HOST),
        ("https://a.example:0/", Refusal.HOST),
        ("https://a.example:65536/", Refusal.HOST),
        ("https://a.example:80:80/", Refusal.HOST),
        ("https://a..example/", Refusal.HOST),
        ("https://-a.example/", Refusal.HOST),
        ("https://a%2eexample/", Refusal.HOST),
        ("https://[::1]a.example/", Refusal.HOST),
        ("https://[fe80::1%25eth0]/", Refusal.HOST),
        ("https://" + "a" * 64 + ".example/", Refusal.HOST),
        ("https://0177.0.0.1/", Refusal.HOST),
        ("https://0x7f.0.0.1/", Refusal.HOST),
        ("https://0x7f000001/", Refusal.HOST),
        ("https://2130706433/", Refusal.HOST),
        ("https://017700000001/", Refusal.HOST),
        ("https://127.1/", Refusal.HOST),
        ("https://127.0.0.0x1/", Refusal.HOST),
        ("https://1.2.3.4.5/", Refusal.HOST),
        ("https://a.example.0x/", Refusal.HOST),
    ],
)
def test_what_is_no_plain_url_of_a_host_is_refused_before_anybody_looks_it_up(url: str, why: Refusal) -> None:
    assert refusal_of(url, plain_is_allowed=True) == why


NOT_PUBLIC = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "127.8.8.8",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.8",
    "192.0.2.1",
    "192.168.1.1",
    "198.18.0.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
@pytest.mark.parametrize("scheme", ["https", "http"])
def test_an_address_that_is_not_public_is_refused_written_or_resolved(address: str, scheme: str) -> None:
    written = f"[{address}]" if ":" in address else address

    assert refusal_of(f"{scheme}://{written}/v1", plain_is_allowed=True) == Refusal.NOT_PUBLIC
    for found in ((address,), (PUBLIC, address), (address, PUBLIC_V6)):
        name = f"{scheme}://a.example/v1"
        assert refusal_of(name, resolves_to=found, plain_is_allowed=True) == Refusal.NOT_PUBLIC


def test_a_name_that_resolves_to_nothing_is_refused() -> None:
    assert refusal_of("https://a.example/", resolves_to=()) == Refusal.UNKNOWN_HOST


@pytest.mark.parametrize("scheme", ["http", "ws"])
def test_an_unencrypted_connection_is_refused_where_it_is_not_allowed(scheme: str) -> None:
    assert refusal_of(f"{scheme}://a.example/") == Refusal.PLAIN
    assert refusal_of(f"{scheme}://a.example/", plain_is_allowed=True) is None


@pytest.mark.parametrize(
    ("entry", "url", "is_named"),
    [
        ("speech.lan", "http://speech.lan:9000/v1", True),
        ("speech.lan", "https://SPEECH.lan./v1", True),
        ("speech.lan", "http://other.speech.lan/", False),
        ("speech.lan:9000", "http://speech.lan:9000/v1", True),
        ("speech.lan:9000", "http://speech.lan/v1", False),
        ("speech.lan:443", "https://speech.lan/v1", True),
        ("10.0.0.5", "http://10.0.0.5:9000/", True),
        ("10.0.0.5", "http://speech.lan:9000/", True),
        ("10.0.0.5:9000", "http://speech.lan:9000/", True),
        ("10.0.0.5:9000", "http://speech.lan:9001/", False),
        ("10.0.0.0/8", "http://10.0.0.5/", True),
        ("10.0.0.0/8", "ws://speech.lan/", True),
        ("10.0.0.0/8", "ws://[::ffff:10.0.0.5]/", True),
        ("10.0.1.0/24", "ws://speech.lan/", False),
        ("::1", "http://[::1]:9000/", True),
        ("[::1]:9000", "http://[0:0::1]:9000/", True),
        ("[::1]:9000", "http://[::1]:9001/", False),
        ("fd00::/8", "http://[fd12::1]/", True),
    ],
)
def test_what_the_operator_lists_is_accepted_however_it_is_reached(
    entry: str, url: str, is_named: bool
) -> None:
    found = refusal_of(url, resolves_to=("10.0.0.5",), allowlist=allowlist_of([entry]))

    assert (found is None) == is_named


def test_a_network_that_is_listed_vouches_for_none_of_a_hosts_other_addresses() -> None:
    listed = allowlist_of(["10.0.0.0/8"])

    assert (
        refusal_of("https://a.lan/", resolves_to=("10.0.0.5", "127.0.0.1"), allowlist=listed) == "not_public"
    )
    assert refusal_of("http://a.lan/", resolves_to=("10.0.0.5", PUBLIC), allowlist=listed) == Refusal.PLAIN


def test_an_engine_that_connects_by_itself_is_held_to_the_list() -> None:
    def riva(url: str, *entries: str) -> str | None:
        return refusal_of(
            url, resolves_to=("10.0.0.5", PUBLIC), allowlist=allowlist_of(entries), must_be_listed=True
        )

    assert riva("https://a.example/") == Refusal.NOT_LISTED
    assert riva("https://a.example/", "b.example", "10.0.0.0/8") == Refusal.NOT_LISTED
    assert riva("http://a.example/", "a.example") is None
    assert riva("grpc://a.example:50051", "a.example:50051") is None
    assert riva("grpc://a.example:50052", "a.example:50051") == Refusal.NOT_LISTED


@pytest.mark.parametrize(
    "entry", ["", "*", "a.example:x", "a.example:", "10.0.0.0/33", "http://a", "[::1", "0177.1"]
)
def test_an_entry_that_says_nothing_clear_is_refused(entry: str) -> None:
    with pytest.raises(ValueError):
        allowlist_of([entry])


@given(st.text(max_size=60) | st.from_regex(r"https://[0-9a-fx.:\[\]%@]{1,30}/?"))
def test_whatever_is_typed_is_refused_by_a_name_or_means_the_same_to_every_client(url: str) -> None:
    try:
        destination = destination_of(url)
    except AddressRefused:
        return
    seen = urlsplit(url).hostname or ""
    try:
        ipaddress.ip_address(destination.host)
    except ValueError:
        assert destination.host == seen.removesuffix(".")
        assert not re.fullmatch(r"[0-9]+|0x.*", destination.host.split(".")[-1])
    else:
        family = socket.AF_INET6 if ":" in seen else socket.AF_INET
        assert socket.getaddrinfo(seen.removesuffix("."), None, family, flags=socket.AI_NUMERICHOST)


@given(st.ip_addresses(v=4))
def test_an_address_in_the_clothes_of_another_is_judged_as_what_it_is(address: ipaddress.IPv4Address) -> None:
    for prefix in ("::ffff:0:0", "64:ff9b::"):
        dressed = ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) | int(address))
        assert is_public(dressed) == is_public(address)
