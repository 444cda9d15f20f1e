"""Which hosts may be connected to."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address

import pytest

from agentrl.tools.browse.address import Forbidden, checked, is_public

INSIDE = [
    "127.0.0.1",
    "127.8.9.10",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.100.100.200",  # metadata of Alibaba
    "192.0.0.192",  # of Oracle
    "168.63.129.16",  # of Azure
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fd00:ec2::254",  # metadata of AWS
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:a9fe:a9fe",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
]


@pytest.mark.parametrize("address", INSIDE)
def test_addresses_of_no_public_server_are_known(address):
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses_are_known(address):
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "host",
    [
        *INSIDE,
        "2130706433",  # 127.0.0.1 as one number
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "0",
        "localhost",
        "LOCALHOST.",
        "a.localhost",
        "metadata.google.internal",
        "printer.local",
    ],
)
def test_hosts_inside_are_refused_however_they_are_written(host):
    with pytest.raises(Forbidden):
        asyncio.run(checked(host, 80))


def test_one_inner_address_among_those_of_a_name_is_enough_to_refuse_it(monkeypatch):
    _resolve_to(monkeypatch, "8.8.8.8", "10.0.0.1")
    with pytest.raises(Forbidden):
        asyncio.run(checked("rebind.example", 80))


def test_the_address_that_was_checked_is_the_one_to_connect_to(monkeypatch):
    _resolve_to(monkeypatch, "8.8.4.4", "8.8.8.8")
    assert asyncio.run(checked("dns.example", 443)) == "8.8.4.4"


def test_exceptions_are_for_one_port_only():
    assert asyncio.run(checked("127.0.0.1", 8000, {"127.0.0.1:8000"})) == "127.0.0.1"
    for host, port in (("127.0.0.1", 8001), ("127.0.0.2", 8000)):
        with pytest.raises(Forbidden):
            asyncio.run(checked(host, port, {"127.0.0.1:8000"}))


def _resolve_to(monkeypatch, *addresses):
    """Stand in for a name server, which cannot be asked here."""

    def resolve(host, port, *_, **__):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
