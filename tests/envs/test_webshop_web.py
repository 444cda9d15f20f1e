"""The shop in a browser."""

from __future__ import annotations

import re
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from html import unescape
from urllib.parse import urlencode, urlsplit

import pytest

from agentrl.envs.webshop import WebShopEnv
from agentrl.envs.webshop.web import make_server


@pytest.fixture
def address() -> Iterator[str]:
    (task,) = WebShopEnv.panel("test", catalogue="generated", style="tiny", count=1)
    with make_server(task) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join(timeout=10)


def fetch(address: str, headers: dict[str, str] | None = None, **form: str) -> str:
    body = urlencode(form).encode() if form else None
    request = urllib.request.Request(address, body, headers or {})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(answer.read().decode())


def test_a_visit_can_be_played_to_its_end_and_begun_anew(address: str):
    page = fetch(address)
    words = re.search(r"Find me (\w+ \w+)", page)
    assert words is not None
    page = fetch(address, query=words[1])
    first = re.search(r"value='(click\[p\d+\])'", page)
    assert first is not None and "Total results" in page
    page = fetch(address, action=unescape(first[1]))
    assert "Rating: N.A." in page
    page = fetch(address, action="click[fly]")
    assert "not accepted" in page
    page = fetch(address, action="click[buy now]")
    assert "The episode is over" in page and "score" in page
    assert "step 0" in fetch(address, restart="")


def test_a_connection_without_a_request_keeps_nobody_waiting(address: str):
    port = urlsplit(address).port
    assert port is not None
    with socket.create_connection(("127.0.0.1", port), timeout=10):
        assert "step 0" in fetch(address)


def test_what_was_typed_is_not_markup(address: str):
    assert "<script>" not in fetch(address, query="<script>alert(1)</script>")


def test_other_paths_and_other_sites_are_refused(address: str):
    for extra, headers, code in (
        ("x", None, 404),
        ("", {"Origin": "http://example.org"}, 403),
        ("", {"Host": "example.org"}, 403),
        ("", {"Content-Length": "many"}, 413),
    ):
        with pytest.raises(urllib.error.HTTPError) as caught:
            fetch(address + extra, headers, **({"query": "mug"} if headers else {}))
        caught.value.close()
        assert caught.value.code == code
