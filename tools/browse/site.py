"""A small web site kept in a file, served over HTTP on this machine: for tests and training.

The file is a JSON list of `{"url", "status", "content_type", "html", "location"?}`; addresses may
have any scheme and host, for example `minisite://library/index.html`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

from agentrl.errors import DataError
from agentrl.tools.browse.direct import DirectPages
from agentrl.tools.browse.page import Link, Page

STOP_SECONDS = 5.0
MISSING = {"status": 404, "content_type": "text/plain", "html": "There is no such page."}


class Site:
    """Serves a site from `start` to `stop`, on a port that is free.

    Args:
        path: of the file.

    Raises:
        DataError: the file is no site.
    """

    def __init__(self, path: str | Path) -> None:
        self._pages, self.root = _load(Path(path))
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def host(self) -> str:
        """`host:port` of the running server."""
        if self._server is None:
            raise RuntimeError("The site is not being served.")
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def url(self) -> str:
        """What the running server's addresses begin with."""
        return f"http://{self.host}"

    def served(self, address: str) -> str:
        """Return where an address of the file is served; others as they are."""
        return self.url + address.removeprefix(self.root) if self._is_own(address) else address

    def original(self, address: str) -> str:
        """Return what the file calls an address of the server; others as they are."""
        inside = address == self.url or address.startswith(f"{self.url}/")
        return self.root + address.removeprefix(self.url) if inside else address

    def start(self) -> Self:
        """Serve it."""
        if self._server is None:
            self._server = _Server(("127.0.0.1", 0), _Handler)
            self._server.site = self
            self._thread = threading.Thread(
                target=self._server.serve_forever, args=(0.05,), name="site", daemon=True
            )
            self._thread.start()
        return self

    def stop(self) -> None:
        """Stop serving; may be called again."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join(STOP_SECONDS)
            self._server.server_close()
            self._server = self._thread = None

    def page(self, target: str) -> Mapping[str, Any]:
        """Return the page at a path with its query."""
        return self._pages.get(target, MISSING)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _is_own(self, address: str) -> bool:
        return address == self.root or address.startswith(f"{self.root}/")


class SitePages:
    """The pages of a site under their own addresses, fetched from a server of ours.

    The model sees the file's addresses, not a port that is another each time.

    Args:
        path: of the site's file.
    """

    name = "site"

    def __init__(self, path: str | Path) -> None:
        self._site = Site(path).start()
        self._pages = DirectPages(allowed=[self._site.host])

    async def read(self, url: str) -> Page:
        """Return a page of the site."""
        page = await self._pages.read(self._site.served(url))
        site = self._site
        return Page(
            url=site.original(page.url),
            title=page.title,
            text=page.text.replace(f"({site.url}/", f"({site.root}/"),
            links=tuple(Link(link.text, site.original(link.url)) for link in page.links),
        )

    async def close(self) -> None:
        """Stop the server."""
        await self._pages.close()
        self._site.stop()


class _Server(ThreadingHTTPServer):
    site: Site
    daemon_threads = True


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        page = self.server.site.page(self.path)
        body = str(page["html"]).encode()
        self.send_response(page["status"])
        self.send_header("Content-Type", page["content_type"])
        self.send_header("Content-Length", str(len(body)))
        if "location" in page:
            self.send_header("Location", self.server.site.served(page["location"]))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _load(path: Path) -> tuple[dict[str, Mapping[str, Any]], str]:
    """Return pages by path and query, and what all addresses begin with."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        pages = {_target(entry["url"]): MISSING | entry for entry in entries}
        roots = {urlunsplit((*urlsplit(entry["url"])[:2], "", "", "")) for entry in entries}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is no site: {error!r}.") from error
    if len(roots) != 1:
        raise DataError(f"The pages of {path} must be of one host; they are of {sorted(roots)}.")
    return pages, roots.pop()


def _target(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(("", "", parts.path or "/", parts.query, ""))
