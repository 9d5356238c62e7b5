"""Tests of which IP addresses are a browser's own."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking.domain.client_ip import client_ip_of


@pytest.mark.parametrize(
    "address",
    [
        *("8.8.8.8", "203.0.113.9", "198.51.100.1", "192.0.2.1", "100.63.255.255", "100.128.0.0"),
        *("172.15.255.255", "172.32.0.0", "11.0.0.0", "9.255.255.255", "192.0.1.0", "223.255.0.1"),
        *("2606:4700::1111", "2001:db8::7", "2a00:1450:4001::5"),
    ],
)
def test_a_public_address_stays_as_it_is(address: str) -> None:
    assert client_ip_of(address) == address


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.8.0.1", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
        *("169.254.1.1", "100.64.0.1", "100.127.255.255", "0.0.0.0", "0.1.2.3"),  # noqa: S104
        *(
            "224.0.0.1",
            "239.255.255.250",
            "240.0.0.1",
            "255.255.255.255",
            "192.0.0.8",
            "198.18.0.1",
        ),
        *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12:3456::1", "fec0::1", "ff02::1"),
        *("::ffff:127.0.0.1", "::ffff:10.1.2.3", "::ffff:0:0", "::7f00:1", "100::1", "2001::1"),
    ],
)
def test_an_address_of_a_network_that_is_not_public_names_nobody(address: str) -> None:
    assert client_ip_of(address) == ""


@pytest.mark.parametrize(
    "text",
    [
        *("", "unknown", "localhost", "10.1.2", "1.2.3.4, 5.6.7.8", "203.0.113.9:443"),
        *("[2606:4700::1]", "203.0.113.09", "203.0.113.256", "1", "0x7f.1", "fe80::%1", "\ud800"),
        *("203.0.113.9/32", "203.0.113.\u0669", "203.0.113.9\x00", "x" * 8_000),
    ],
)
def test_what_is_no_address_is_left_out(text: str) -> None:
    assert client_ip_of(text) == ""


@pytest.mark.parametrize(
    ("written", "usual"),
    [
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("::FFFF:CB00:7109", "203.0.113.9"),
        ("0:0:0:0:0:ffff:203.0.113.9", "203.0.113.9"),
        ("2606:4700:0:0:0:0:0:1", "2606:4700::1"),
        ("2A00:1450::00AB", "2a00:1450::ab"),
        ("2606:4700::1%en0", "2606:4700::1"),
    ],
)
def test_an_address_has_one_form(written: str, usual: str) -> None:
    assert client_ip_of(written) == usual
    assert client_ip_of(usual) == usual


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_no_address_is_public_that_the_standard_library_calls_private(
    address: IPv4Address | IPv6Address,
) -> None:
    found = client_ip_of(str(address))
    examples = ("192.0.2.", "198.51.100.", "203.0.113.", "2001:db8:")
    if found and not found.startswith(examples):
        assert ip_address(found).is_global
        assert not ip_address(found).is_multicast


@given(st.ip_addresses(v=4))
def test_an_address_is_the_same_however_it_is_written(address: IPv4Address) -> None:
    assert client_ip_of(str(address)) == client_ip_of(f"::ffff:{address}")
