"""Gets a document of the web over HTTP, within limits and from public servers only."""

from __future__ import annotations

import asyncio
import codecs
import re
import zlib
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx

from agentrl.tools.base import ToolError, ToolErrorKind
from agentrl.tools.browse.address import Forbidden, checked

SECONDS = 20.0
"""For all of it: names, connections, redirects, the document."""
MOST_BYTES = 5 * 1000 * 1000
MOST_REDIRECTS = 5
CHUNK = 65536
TYPES = re.compile(r"text/[\w.+-]+|application/([\w.-]+\+)?(json|xml)|application/xhtml\+xml")
AGENT = "AgentRL"
HEADERS = {
    "User-Agent": f"Mozilla/5.0 (compatible; {AGENT})",
    "Accept": "text/html,application/xhtml+xml,text/plain,application/json;q=0.9,*/*;q=0.5",
    "Accept-Encoding": "gzip",
}
META_CHARSET = re.compile(rb"<meta[^>]+charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
META_BYTES = 4096
"""In which a page must say how it is written."""

BAD_ADDRESS = "Only addresses that start with http:// or https:// can be opened."
FORBIDDEN = "This address must not be opened."
UNREACHABLE = "The server could not be reached."
TOO_SLOW = "The page did not arrive in time."
TOO_LARGE = "The page is too large."
TOO_MANY_REDIRECTS = "The page redirects too often."
NO_TEXT = "The page is no text that can be read."
NOT_FOUND = "There is no such page."


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What a server sent.

    Attributes:
        url: where it was found in the end.
        content_type: without parameters; empty where the server named none.
        text: decoded.
    """

    url: str
    content_type: str
    text: str


class Fetcher:
    """Gets documents; belongs to one event loop.

    Args:
        allowed: `host:port` of servers that may be asked although they are not public.
        seconds: for a document.
        most_bytes: of a document, unpacked.
        transport: in place of the network, below the check of addresses.
    """

    def __init__(
        self,
        *,
        allowed: Collection[str] = (),
        seconds: float = SECONDS,
        most_bytes: int = MOST_BYTES,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._seconds, self._most_bytes = seconds, most_bytes
        self._http = httpx.AsyncClient(
            transport=_CheckedTransport(frozenset(allowed), transport),
            headers=HEADERS,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # none: nothing is kept
            timeout=seconds,
            follow_redirects=True,
            max_redirects=MOST_REDIRECTS,
            trust_env=False,  # a proxy would connect to addresses nobody has checked
        )

    async def fetch(self, url: str) -> Document:
        """Return the document at an address.

        Raises:
            ToolError: there is none; the text is for the model.
        """
        try:
            async with asyncio.timeout(self._seconds):
                return await self._fetch(url)
        except (httpx.TimeoutException, TimeoutError):
            raise ToolError(TOO_SLOW, ToolErrorKind.TIMEOUT) from None
        except Forbidden:
            raise ToolError(FORBIDDEN) from None
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            raise ToolError(BAD_ADDRESS) from None
        except httpx.TooManyRedirects:
            raise ToolError(TOO_MANY_REDIRECTS) from None
        except (httpx.HTTPError, OSError, UnicodeError):
            raise ToolError(UNREACHABLE) from None
        except zlib.error:
            raise ToolError(NO_TEXT) from None

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def _fetch(self, url: str) -> Document:
        async with self._http.stream("GET", url) as response:
            if response.status_code in (404, 410):
                raise ToolError(NOT_FOUND)
            if not response.is_success:
                raise ToolError(f"The server refuses: HTTP status {response.status_code}.")
            kind, _, parameters = response.headers.get("content-type", "").partition(";")
            kind = kind.strip().lower()
            if kind and not TYPES.fullmatch(kind):
                raise ToolError(NO_TEXT)
            body = await self._body(response)
            if not kind and b"\0" in body:
                raise ToolError(NO_TEXT)
        text = decoded(body, parameters)
        return Document(url=str(response.url), content_type=kind, text=text)

    async def _body(self, response: httpx.Response) -> bytes:
        body = bytearray()
        async for data in _unpacked(response, self._most_bytes + 1):
            body += data
            if len(body) > self._most_bytes:
                raise ToolError(TOO_LARGE)
        return bytes(body)


class _CheckedTransport(httpx.AsyncBaseTransport):
    """Looks every host up, also of redirects, and connects to the address it has checked.

    Connections are not kept: one to an address shared by two hosts must not serve both.
    """

    def __init__(self, allowed: frozenset[str], transport: httpx.AsyncBaseTransport | None) -> None:
        limits = httpx.Limits(max_connections=64, max_keepalive_connections=0)
        self._allowed = allowed
        self._inner = transport or httpx.AsyncHTTPTransport(limits=limits, trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        if url.scheme not in ("http", "https") or not url.host:
            raise httpx.UnsupportedProtocol("not a page", request=request)
        host = url.raw_host.decode("ascii")
        port = url.port or {"http": 80, "https": 443}[url.scheme]
        address = await checked(host.strip("[]"), port, self._allowed)
        return await self._inner.handle_async_request(
            httpx.Request(
                request.method,
                url.copy_with(host=address),
                headers=request.headers,  # with the name of the host
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": host},
            )
        )

    async def aclose(self) -> None:
        await self._inner.aclose()


async def _unpacked(response: httpx.Response, most: int) -> AsyncIterator[bytes]:
    """Yield the body piece by piece, so that a small one cannot unpack to a huge one."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", "x-gzip", "deflate", ""):
        raise ToolError(NO_TEXT)
    packed = encoding not in ("identity", "")
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)  # either header
    async for data in response.aiter_raw(CHUNK):
        yield unpacker.decompress(data, most) if packed else data


def decoded(body: bytes, parameters: str = "") -> str:
    """Return a document's text: as the header says, else its mark or `<meta>`, else UTF-8.

    Args:
        body: of the response.
        parameters: of its content type, for example `charset=latin-1`.
    """
    named = re.search(r"charset\s*=\s*[\"']?([\w.:-]+)", parameters, re.IGNORECASE)
    marked = _mark(body)
    meta = META_CHARSET.search(body[:META_BYTES])
    candidates = [named and named[1], marked, meta and meta[1].decode("ascii")]
    for name in filter(None, candidates):
        try:
            return body.decode(name, "replace").removeprefix("\ufeff")
        except LookupError:
            continue  # a name nobody knows
    return body.decode("utf-8", "replace").removeprefix("\ufeff")


def _mark(body: bytes) -> str:
    if body.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    return "utf-16" if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else ""
