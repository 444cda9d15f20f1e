"""Documents over real HTTP: limits, redirects, types, encodings."""

from __future__ import annotations

import asyncio
import gzip
import socket
import threading
import time

import pytest

from agentrl.tools.base import ToolError, ToolErrorKind
from agentrl.tools.browse import fetch as sentences
from agentrl.tools.browse.direct import DirectPages, readable
from agentrl.tools.browse.fetch import Document, Fetcher, decoded

HTML = {"Content-Type": "text/html; charset=utf-8"}


def fetch(url, allowed=(), **options):
    async def work():
        fetcher = Fetcher(allowed=allowed, **options)
        try:
            return await fetcher.fetch(url)
        finally:
            await fetcher.close()

    return asyncio.run(work())


def refusal(url, allowed=(), **options):
    with pytest.raises(ToolError) as caught:
        fetch(url, allowed, **options)
    return str(caught.value)


def test_a_document_comes_with_type_and_text(server):
    server.answers["/a?b=c"] = (200, HTML, "<p>café".encode())
    document = fetch(f"{server.url}/a?b=c#part", [server.host])
    assert document.text == "<p>café"
    assert document.content_type == "text/html"
    assert document.url.startswith(f"{server.url}/a?b=c")


def test_servers_of_this_machine_are_refused_unless_allowed(server):
    server.answers["/"] = (200, HTML, b"x")
    port = server.server_port
    for host in ("127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]", "0x7f.1", "0"):
        assert refusal(f"http://{host}:{port}/") == sentences.FORBIDDEN
    assert server.requests == []
    assert fetch(f"{server.url}/", [server.host]).text == "x"


@pytest.mark.parametrize("location", ["http://127.0.0.1:{0}/", "//localhost:{0}/", "http://0/"])
def test_a_redirect_inside_is_refused(server, location):
    secret = socket.create_server(("127.0.0.1", 0))
    with secret:
        secret.setblocking(False)
        target = location.format(secret.getsockname()[1])
        server.answers["/"] = (302, {"Location": target}, b"")
        assert refusal(f"{server.url}/", [server.host]) == sentences.FORBIDDEN
        with pytest.raises(BlockingIOError):  # nobody has come
            secret.accept()


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://x/"])
def test_a_redirect_to_another_scheme_is_refused(server, location):
    server.answers["/"] = (302, {"Location": location}, b"")
    assert refusal(f"{server.url}/", [server.host]) == sentences.BAD_ADDRESS


def test_the_connection_goes_to_the_checked_address_under_the_name_of_the_host(server, monkeypatch):
    answers = [["127.0.0.1"], ["10.0.0.1"]]  # a name that changes after it has been looked at

    def resolve(host, port, *_, **__):
        assert host == "site.example"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers.pop(0)[0], port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    server.answers["/"] = (200, HTML, b"x")
    host = f"site.example:{server.server_port}"
    assert fetch(f"http://{host}/", [host]).text == "x"
    assert server.requests[0][1]["Host"] == host
    assert len(answers) == 1


def test_tls_is_spoken_with_the_host_and_not_with_its_address(monkeypatch):
    def resolve(host, port, *_, **__):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    hello = []

    def accept(listener):
        connection, _ = listener.accept()
        with connection:
            hello.append(connection.recv(4096))

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, args=(listener,))
        thread.start()
        host = f"site.example:{listener.getsockname()[1]}"
        assert refusal(f"https://{host}/", [host]) == sentences.UNREACHABLE
        thread.join(5)
    assert b"site.example" in hello[0]


def test_five_redirects_are_followed_and_no_more(server):
    for n in range(7):
        server.answers[f"/{n}"] = (301, {"Location": f"/{n + 1}"}, b"")
    server.answers["/5"] = (200, HTML, b"end")
    assert fetch(f"{server.url}/0", [server.host]).text == "end"
    server.answers["/5"] = (301, {"Location": "/6"}, b"")
    assert refusal(f"{server.url}/0", [server.host]) == sentences.TOO_MANY_REDIRECTS


@pytest.mark.parametrize(
    "url", ["example.com", "ftp://example.com/x", "file:///etc/passwd", "http://", "", "http:///x"]
)
def test_what_is_no_web_address_is_refused(url):
    assert refusal(url) == sentences.BAD_ADDRESS


def test_large_documents_are_refused_without_reading_them_all(server):
    sent = []

    def endless(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", "text/plain")
        handler.end_headers()
        for _ in range(1000):
            handler.wfile.write(b"x" * 100_000)
            sent.append(1)

    server.answers["/"] = endless
    assert refusal(f"{server.url}/", [server.host], most_bytes=200_000) == sentences.TOO_LARGE
    assert len(sent) < 1000


def test_packed_documents_are_unpacked_up_to_the_limit(server):
    headers = HTML | {"Content-Encoding": "gzip"}
    server.answers["/small"] = (200, headers, gzip.compress(b"text"))
    server.answers["/bomb"] = (200, headers, gzip.compress(b"x" * 50_000_000))
    server.answers["/twice"] = (200, HTML | {"Content-Encoding": "gzip, gzip"}, b"")
    server.answers["/wrong"] = (200, headers, b"no gzip")
    assert fetch(f"{server.url}/small", [server.host]).text == "text"
    assert refusal(f"{server.url}/bomb", [server.host]) == sentences.TOO_LARGE
    assert refusal(f"{server.url}/twice", [server.host]) == sentences.NO_TEXT
    assert refusal(f"{server.url}/wrong", [server.host]) == sentences.NO_TEXT


def test_a_server_that_drips_does_not_outlast_the_deadline(server):
    def drip(handler):
        handler.send_response(200)
        handler.end_headers()
        for _ in range(100):
            handler.wfile.write(b"x")
            time.sleep(0.05)

    server.answers["/"] = drip
    started = time.monotonic()
    with pytest.raises(ToolError, match="in time") as caught:
        fetch(f"{server.url}/", [server.host], seconds=0.3)
    assert caught.value.kind is ToolErrorKind.TIMEOUT
    assert time.monotonic() - started < 3


def test_a_server_that_is_not_there_could_not_be_reached():
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    url = f"http://127.0.0.1:{port}/"
    assert refusal(url, [f"127.0.0.1:{port}"]) == sentences.UNREACHABLE


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (404, sentences.NOT_FOUND),
        (410, sentences.NOT_FOUND),
        (403, "The server refuses: HTTP status 403."),
        (503, "The server refuses: HTTP status 503."),
    ],
)
def test_failures_of_a_server_are_told_in_one_sentence(server, status, sentence):
    server.answers["/"] = (status, HTML, b"<h1>long story</h1>")
    assert refusal(f"{server.url}/", [server.host]) == sentence


@pytest.mark.parametrize("kind", ["application/pdf", "image/png", "application/octet-stream"])
def test_what_is_no_text_is_refused(server, kind):
    server.answers["/"] = (200, {"Content-Type": kind}, b"x")
    assert refusal(f"{server.url}/", [server.host]) == sentences.NO_TEXT


def test_a_document_without_a_type_is_read_unless_it_is_binary(server):
    server.answers["/text"] = (200, {}, b"plain")
    server.answers["/binary"] = (200, {}, b"\x7fELF\0\0")
    assert fetch(f"{server.url}/text", [server.host]).text == "plain"
    assert refusal(f"{server.url}/binary", [server.host]) == sentences.NO_TEXT


def test_no_cookie_is_sent_back(server):
    server.answers["/"] = (302, {"Location": "/2", "Set-Cookie": "id=1; Path=/"}, b"")
    server.answers["/2"] = (200, HTML, b"x")
    fetch(f"{server.url}/", [server.host])
    assert all("Cookie" not in headers for _, headers in server.requests)


@pytest.mark.parametrize(
    ("body", "parameters", "expected"),
    [
        ("é".encode("latin-1"), "charset=ISO-8859-1", "é"),
        ("é".encode(), ' charset="UTF-8"', "é"),
        (b"<meta charset=windows-1252>\x80", "", "<meta charset=windows-1252>€"),
        (
            b"<meta http-equiv=x content='text/html; charset=koi8-r'>\xc1",
            "",
            "<meta http-equiv=x content='text/html; charset=koi8-r'>а",
        ),
        (b"\xe9<meta charset=latin-1>", "charset=utf-8", "\ufffd<meta charset=latin-1>"),
        (b"\xef\xbb\xbfa", "", "a"),
        ("aé".encode("utf-16"), "", "aé"),
        ("é".encode(), "charset=nobody-knows", "é"),
        ("é".encode(), "charset=hex", "é"),
        (b"\xff", "", "\ufffd"),
    ],
)
def test_an_encoding_is_taken_from_header_mark_or_page_in_this_order(body, parameters, expected):
    assert decoded(body, parameters) == expected


def test_json_and_plain_text_are_shown_as_they_are():
    def page(kind, text):
        return readable(Document(url="http://a/", content_type=kind, text=text)).text

    assert page("application/json", '{"a":"é"}') == '{\n "a": "é"\n}'
    assert page("application/json", "{broken") == "{broken"
    assert page("text/plain", "<p>a\r\n b\n") == "<p>a\n b"
    assert page("", " <!DOCTYPE html><p>a") == "a"
    assert page("", "<p>a") == "<p>a"


def test_pages_a_site_does_not_want_opened_are_left_alone_on_request(server):
    server.answers["/robots.txt"] = (200, {}, b"User-agent: AgentRL\nDisallow: /private")
    server.answers["/private/x"] = server.answers["/open"] = (200, HTML, b"<p>text")

    async def work(robots):
        pages = DirectPages(allowed=[server.host], robots=robots)
        try:
            opened = await pages.read(f"{server.url}/open")
            return opened.text, (await pages.read(f"{server.url}/private/x")).text
        finally:
            await pages.close()

    assert asyncio.run(work(False)) == ("text", "text")
    with pytest.raises(ToolError, match="does not want"):
        asyncio.run(work(True))
    server.answers["/robots.txt"] = (404, HTML, b"")
    assert asyncio.run(work(True)) == ("text", "text")
