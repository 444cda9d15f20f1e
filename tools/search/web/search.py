"""A web back end as something that can be asked: cache, request, clean hits."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from urllib.parse import urldefrag

from agentrl.tools.base import JSON
from agentrl.tools.search.hit import SearchHit
from agentrl.tools.search.searcher import normalized
from agentrl.tools.search.web.cache import CacheMode, ResponseCache
from agentrl.tools.search.web.exchange import Credentials, Request, Response, WebBackend, read_hits
from agentrl.tools.search.web.http import WebClient

_TAG = re.compile(r"</?[A-Za-z][^<>]*>|<!--.*?-->", re.DOTALL)


class WebSearch:
    """Asks a search service of the web.

    Args:
        backend: the service.
        client: shared with other back ends; by default one of its own.
        cache: of answers; None for none.

    Raises:
        ConfigError: the service needs a key and has none; replaying stored answers needs none.
    """

    def __init__(
        self,
        backend: WebBackend,
        *,
        client: WebClient | None = None,
        cache: ResponseCache | None = None,
    ) -> None:
        if cache is None or cache.mode is not CacheMode.READ_ONLY:
            backend.credentials()
        self.backend = backend
        self._client = client or WebClient()
        self._cache = cache

    @property
    def name(self) -> str:
        """The service."""
        return self.backend.name

    async def search(self, query: str, k: int) -> Sequence[SearchHit]:
        """Return at most k hits, each address once.

        Raises:
            SearchFailure: there is no answer.
        """
        request = self.backend.request(normalized(query), k)
        data = await self._stored(request)
        if data is not None:
            return self._hits(data)[:k]
        response = await self._client.send(self.backend, request)
        hits = self._hits(response.data)
        await self._store(request, response, empty=not hits)
        return hits[:k]

    async def close(self) -> None:
        """Close connections and cache."""
        await self._client.close()
        if self._cache is not None:
            self._cache.close()

    async def _stored(self, request: Request) -> JSON:
        if self._cache is None:
            return None
        text = await asyncio.to_thread(self._cache.get, self.name, request)
        return None if text is None else Response(status=200, text=text).data

    def _hits(self, data: JSON) -> list[SearchHit]:
        return read_hits(cleaned(self.backend.hits(data)), self.name)

    async def _store(self, request: Request, response: Response, *, empty: bool) -> None:
        if self._cache is None or self._cache.mode is not CacheMode.READ_WRITE:
            return
        text = _without_secrets(response.text, self.backend.credentials())
        await asyncio.to_thread(self._cache.put, self.name, request, text, empty=empty)


def cleaned(hits: Iterable[SearchHit]) -> Iterable[SearchHit]:
    """Yield hits as plain text; those without an address, or with one seen before, are dropped."""
    seen = set()
    for hit in hits:
        address = urldefrag(hit.url or "").url
        if address and address not in seen:
            seen.add(address)
            yield replace(hit, title=plain(hit.title), snippet=plain(hit.snippet))


def plain(text: str) -> str:
    """Return text without HTML tags, entities and needless space."""
    return " ".join(html.unescape(_TAG.sub("", text)).split())


def _without_secrets(text: str, credentials: Credentials) -> str:
    """Return an answer without our key, should a service repeat it."""
    secrets = [*credentials.params.values(), *credentials.headers.values()]
    for secret in secrets:
        text = text.replace(secret.removeprefix("Bearer "), "***")
    return text
