"""The IP address of a person's browser, as far as it can tell that browser from others."""

import re
from ipaddress import IPv4Network, IPv6Address, ip_address, ip_network

# Addresses that nobody has on the internet: this machine, private and shared networks, the link,
# benchmarks, groups (IANA's special-purpose registries). The ranges reserved for documentation are
# not among them: no proxy and no phone has such an address, and every example does.
_NOT_PUBLIC_IPV4 = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
    *("172.16.0.0/12", "192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/3"),
)
_NETWORKS_IPV4 = tuple(map(IPv4Network, _NOT_PUBLIC_IPV4))
_MASKS_IPV4 = tuple((int(net.network_address), int(net.netmask)) for net in _NETWORKS_IPV4)
# Few addresses begin as one of these networks does.
_FIRST_OCTETS = frozenset(
    octet
    for octet in range(256)
    if any(net.overlaps(IPv4Network((octet << 24, 8))) for net in _NETWORKS_IPV4)
)
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
# All addresses of IPv6 that are routed so far, and in them those of tunnels and protocols.
_ROUTED_IPV6 = ip_network("2000::/3")
_PROTOCOLS_IPV6 = ip_network("2001::/23")


def client_ip_of(text: str) -> str:
    """Returns a public IP address in its usual form, an IPv4 address in IPv6 as IPv4; "" for any
    other text."""
    # The library takes several times as long for the usual form.
    if _IPV4.fullmatch(text):
        return text if _is_public_ipv4(int.from_bytes(map(int, text.split(".")), "big")) else ""
    try:
        # A zone ("%eth0") means something on one machine only.
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, IPv6Address):
        mapped = address.ipv4_mapped
        if mapped is None:
            is_public = address in _ROUTED_IPV6 and address not in _PROTOCOLS_IPV6
            return str(address) if is_public else ""
        address = mapped
    return str(address) if _is_public_ipv4(int(address)) else ""


def _is_public_ipv4(number: int) -> bool:
    if number >> 24 not in _FIRST_OCTETS:
        return True
    return all(number & mask != network for network, mask in _MASKS_IPV4)
