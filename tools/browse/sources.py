"""Where pages come from, from one word of a configuration."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from agentrl.errors import ConfigError
from agentrl.tools.browse.cache import CachedPages
from agentrl.tools.browse.direct import DirectPages
from agentrl.tools.browse.jina import JinaPages
from agentrl.tools.browse.page import PageSource
from agentrl.tools.browse.site import SitePages
from agentrl.tools.search.web.cache import CacheMode, ResponseCache


def open_pages(
    source: str | os.PathLike[str] = "direct",
    *,
    cache: str | os.PathLike[str] | None = None,
    cache_mode: str = CacheMode.READ_WRITE,
    allowed: Collection[str] = (),
    robots: bool = False,
) -> PageSource:
    """Return what a word names.

    Args:
        source: `direct` for the servers of the pages themselves, `jina` for Jina Reader, or the
            file of a site.
        cache: file in which pages are kept; None for none.
        cache_mode: `off`, `read_write`, or `read_only` to replay stored pages.
        allowed: `host:port` of servers that `direct` may ask although they are not public.
        robots: whether `direct` opens only what sites want programs to open.

    Raises:
        ConfigError: it names nothing, or the cache is not set up.
        DataError: the site or the cache cannot be read.
    """
    if cache_mode not in set(CacheMode):
        raise ConfigError(f"`cache_mode` is {cache_mode!r}; it is one of {', '.join(CacheMode)}.")
    if cache is None and cache_mode == CacheMode.READ_ONLY:
        raise ConfigError("`cache_mode` is 'read_only', but `cache` names no file to replay.")
    stored = None if cache is None else ResponseCache(cache, CacheMode(cache_mode))
    pages = _opened(os.fspath(source), allowed, robots)
    return pages if stored is None else CachedPages(pages, stored)


def _opened(word: str, allowed: Collection[str], robots: bool) -> PageSource:
    if word == "direct":
        return DirectPages(allowed=allowed, robots=robots)
    if word == "jina":
        return JinaPages()
    if Path(word).is_file():
        return SitePages(word)
    raise ConfigError(
        f"{word!r} is no source of pages; accepted are direct, jina or a site's file."
    )
