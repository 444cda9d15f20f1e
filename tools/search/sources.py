"""Where searches go, from one word of a configuration or command line."""

from __future__ import annotations

import os
from pathlib import Path

from agentrl.errors import ConfigError
from agentrl.tools.search.client import RetrieveClient
from agentrl.tools.search.index import META, Bm25Index
from agentrl.tools.search.searcher import LocalSearcher, Searcher
from agentrl.tools.search.web import BACKENDS, web_backend
from agentrl.tools.search.web.cache import CacheMode, ResponseCache
from agentrl.tools.search.web.search import WebSearch


def open_searcher(
    source: str | os.PathLike[str],
    *,
    index: str | os.PathLike[str] | None = None,
    cache: str | os.PathLike[str] | None = None,
    cache_mode: str = CacheMode.READ_WRITE,
) -> Searcher:
    """Return what a word names.

    Args:
        source: a corpus of passages (JSON lines), the folder of an index, the address of a server
            of the Search-R1 protocol, or the name of a web service (see `web.BACKENDS`).
        index: folder of a corpus's index; by default in the cache of AgentRL.
        cache: file of a web service's answers; None for none.
        cache_mode: `off`, `read_write`, or `read_only` to replay stored answers.

    Raises:
        ConfigError: it names nothing, or the key of the service is not set.
        DataError: the corpus, its index or the cache cannot be used.
    """
    word, path = os.fspath(source), Path(source).expanduser()
    if word in BACKENDS:
        return WebSearch(web_backend(word), cache=_cache(cache, cache_mode))
    if word.startswith(("http://", "https://")):
        return RetrieveClient(word)
    if (path / META).is_file():
        return LocalSearcher(Bm25Index(path))
    if path.is_file():
        return LocalSearcher(Bm25Index.of(path, index))
    raise ConfigError(
        f"{word!r} is nothing to search in: there is no such file, and no index in such a folder; "
        f"an address starts with http://, and the web services are {', '.join(BACKENDS)}."
    )


def _cache(path: str | os.PathLike[str] | None, mode: str) -> ResponseCache | None:
    if mode not in list(CacheMode):
        raise ConfigError(f"`cache_mode` is {mode!r}; it is one of {', '.join(CacheMode)}.")
    if path is None:
        if mode == CacheMode.READ_ONLY:
            raise ConfigError("`cache_mode` is 'read_only', but `cache` names no file to replay.")
        return None
    return ResponseCache(path, CacheMode(mode))
