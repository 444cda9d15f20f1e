"""Which addresses may be connected to: those of the public internet.

A page an agent asks for, or a redirect of one, must not lead to services of this machine, of the
local network or of the cloud it runs in.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address

INSIDE = ("localhost", "local", "internal", "home.arpa")
"""Ends of names that are of no public server; `metadata.google.internal` is one."""
CLOUD = (ip_network("168.63.129.16/32"), ip_network("192.0.0.0/24"))
"""Services that clouds offer to their machines at addresses that look public."""
TRANSLATED = IPv6Network("64:ff9b::/96")
"""IPv4 addresses as NAT64 writes them, in the last four bytes."""


class Forbidden(Exception):
    """A host that must not be connected to."""


def is_public(address: Address) -> bool:
    """Say whether an address, and the IPv4 address it may wrap, is of the public internet."""
    if isinstance(address, IPv6Address):
        inner = _wrapped(address)
        if inner is not None:
            return is_public(inner)
    cloud = any(address in network for network in CLOUD)
    return address.is_global and not address.is_multicast and not cloud


def _wrapped(address: IPv6Address) -> IPv4Address | None:
    if address in TRANSLATED or int(address) < 1 << 32:  # the latter: "compatible", ::127.0.0.1
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if address.teredo is not None:
        return address.teredo[1]
    return address.ipv4_mapped or address.sixtofour


async def checked(host: str, port: int, allowed: Collection[str] = ()) -> str:
    """Return an address of a host that may be connected to.

    All addresses of the host are looked at, however they are written: a number, parts in octal,
    an IPv6 address around an IPv4 one.

    Args:
        host: a name or an address.
        port: of the service.
        allowed: `host:port` of exceptions, for example of a test site on this machine.

    Raises:
        Forbidden: the host is not public.
        OSError: it has no address.
    """
    name = host.rstrip(".").lower()
    exempt = f"{name}:{port}" in allowed
    inside = any(name == end or name.endswith(f".{end}") for end in INSIDE)
    if inside and not exempt:
        raise Forbidden(host)
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    if not exempt and not all(map(is_public, addresses)):
        raise Forbidden(host)
    return str(addresses[0])
