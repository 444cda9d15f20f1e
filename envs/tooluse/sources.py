"""Where the searches of a task go: a corpus, a server, or a service of the web.

A panel names one of them; its tasks carry the option `source`, which says where it lies, and for a
corpus `passages`, a digest of what can be found there.  All worker processes of a machine map the
same index of a corpus into memory; it is made once, when the panel is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from agentrl.errors import ConfigError, DataError
from agentrl.tools.base import JSON
from agentrl.tools.search import SearchTool, open_searcher
from agentrl.tools.search.index import META, Bm25Index, read_meta
from agentrl.tools.search.searcher import Searcher
from agentrl.tools.search.web import web_backend
from agentrl.tools.search.web.cache import CacheMode

KINDS: Mapping[str, str] = {
    "corpus": "a file of passages (JSON lines) or the folder of an index",
    "server": "the address of a server of the Search-R1 protocol",
    "web": "the name of a service",
}
"""Panel options of which one says where searches go."""
OPTIONS = (*KINDS, "index", "cache", "cache_mode")


def source_options(options: Mapping[str, JSON]) -> dict[str, JSON]:
    """Return the options of a task that say where its searches go.

    Args:
        options: of the panel: one of `KINDS`; `index`, the folder in which the index of a corpus is
            kept; `cache` and `cache_mode` of a service of the web.

    Raises:
        ConfigError: none is named, or several, or it cannot be used.
        DataError: the corpus or its index is missing or damaged.
    """
    kinds = [name for name in KINDS if options.get(name)]
    if len(kinds) != 1:
        said = "; ".join(f"`{name}`, {meaning}" for name, meaning in KINDS.items())
        named = " and ".join(f"`{name}`" for name in kinds) or "none"
        raise ConfigError(f"Say where to search, with one of: {said}. Given: {named}.")
    kind = kinds[0]
    for name, needed in {"index": "corpus", "cache": "web", "cache_mode": "web"}.items():
        if options.get(name) and kind != needed:
            raise ConfigError(f"`{name}` goes with `{needed}`, not with `{kind}`.")
    return _MAKERS[kind](str(options[kind]), options)


def _corpus(word: str, options: Mapping[str, JSON]) -> dict[str, JSON]:
    path, index = Path(word).expanduser().absolute(), options.get("index")
    if (path / META).is_file():
        folder = path
    elif path.is_file():
        where = Path(index).expanduser().absolute() if index else None
        folder = Bm25Index.of(path, where).folder.absolute()
    else:
        raise DataError(f"There is no corpus {str(path)!r}; `corpus` is {KINDS['corpus']}.")
    meta = json.dumps(read_meta(folder), sort_keys=True)
    digest = hashlib.sha256(meta.encode()).hexdigest()[:16]
    return {"source": {"search": str(folder)}, "passages": digest}


def _server(word: str, options: Mapping[str, JSON]) -> dict[str, JSON]:
    if not word.startswith(("http://", "https://")):
        raise ConfigError(f"`server` is an address, http://...; got {word!r}.")
    return {"source": {"search": word}}


def _web(word: str, options: Mapping[str, JSON]) -> dict[str, JSON]:
    backend = web_backend(word)
    cache, mode = options.get("cache"), options.get("cache_mode", CacheMode.READ_WRITE)
    if mode not in list(CacheMode):
        raise ConfigError(f"`cache_mode` is {mode!r}; it is one of {', '.join(CacheMode)}.")
    if mode != CacheMode.READ_ONLY:
        backend.credentials()  # a missing key is said now, not in every episode
    kept = str(Path(cache).expanduser().absolute()) if cache else None
    return {"source": {"search": word, "cache": kept, "cache_mode": str(mode)}}


_MAKERS = {"corpus": _corpus, "server": _server, "web": _web}


def searcher_of(source: Mapping[str, JSON]) -> Searcher:
    """Return who is asked, in a worker process."""
    return open_searcher(
        source["search"],
        cache=source.get("cache"),
        cache_mode=source.get("cache_mode", CacheMode.READ_WRITE),
    )


def search_tool(
    source: Mapping[str, JSON], *, topk: int, style: str, characters: int | None = None
) -> SearchTool:
    """Return the search tool of a task.

    Args:
        source: the task's option.
        topk: hits that are shown.
        style: how; a name of `agentrl.tools.search.formats.FORMATS`.
        characters: of a hit's text that are shown; None for all.
    """
    return SearchTool(searcher_of(source), topk=topk, style=style, characters=characters)
