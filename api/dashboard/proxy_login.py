"""People whom a proxy in front has signed in, named in a header of its own."""

import ipaddress
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network
from typing import TYPE_CHECKING

from werkzeug.wrappers import Request

from api.dashboard.sessions import DashboardSession

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_LONGEST_NAME = 256


class ProxyLogin:
    """Recognises whom a proxy names in the header DASHBOARD_AUTH_HEADER.

    Only the proxies at the addresses of DASHBOARD_AUTH_PEERS are believed: anybody else could send
    the header as well.
    """

    def __init__(self, header: str, peers: Sequence[IPv4Network | IPv6Network]) -> None:
        self._header = header
        self._peers = peers

    def session_of(self, request: Request) -> DashboardSession | None:
        """Returns the session of the person that a believed proxy names; None without one."""
        if not self._header or not self._is_believed(peer_of(request.environ)):
            return None
        person = request.headers.get(self._header, "").strip()
        # Two headers arrive as one with a comma: one of them may be the browser's own.
        if not person or "," in person or not person.isprintable() or len(person) > _LONGEST_NAME:
            return None
        return DashboardSession(f"person {person}", person)

    def _is_believed(self, peer: str) -> bool:
        address = address_of(peer)
        return address is not None and any(address in network for network in self._peers)


def peer_of(environ: "WSGIEnvironment") -> str:
    """Returns the address at the other end of the connection, whatever a header says of it."""
    before_proxies = environ.get("werkzeug.proxy_fix.orig", environ)
    return str(before_proxies.get("REMOTE_ADDR") or "")


def address_of(peer: str) -> ipaddress.IPv4Address | IPv6Address | None:
    """Returns the IP address of a peer, IPv4 also where IPv6 carries it; None if it has none."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
