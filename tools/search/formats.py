"""How hits are shown to a model.

The first three follow how released agents show them, to the character, because what a model was
trained on is what it reads best.  Golden file: `retrieval.format`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from agentrl.errors import unknown_name
from agentrl.tools.search.hit import SearchHit

Format = Callable[[Sequence[SearchHit]], str]


def search_r1(hits: Sequence[SearchHit]) -> str:
    """Return `Doc 1(Title: "A") text` per hit.

    Source: PeterGriffinJin/Search-R1:search_r1/llm_agent/generation.py.
    """
    return "".join(f"Doc {i}(Title: {title}) {text}\n" for i, title, text in _passages(hits))


def verl(hits: Sequence[SearchHit]) -> str:
    """Return `Doc 1 (Title: "A")`, the text below it, and an empty line between hits.

    Source: verl-project/verl:verl/tools/utils/search_r1_like_utils.py.
    """
    blocks = (f"Doc {i} (Title: {title})\n{text}\n\n" for i, title, text in _passages(hits))
    return "".join(blocks).strip()


def skyrl(hits: Sequence[SearchHit]) -> str:
    """Return `Doc 1: contents` per hit.

    Source: NovaSky-AI/SkyRL:skyrl-gym/skyrl_gym/tools/search.py.
    """
    return "".join(f"Doc {i}: {hit.contents.strip()}\n" for i, hit in enumerate(hits, 1))


def arpo(hits: Sequence[SearchHit]) -> str:
    """Return `Page 1: text` per hit, each text once.

    Source: RUC-NLPIR/ARPO, the search tool of the training rollout.
    """
    snippets = dict.fromkeys(hit.snippet for hit in hits if hit.snippet)
    return "\n".join(f"Page {i}: {snippet}" for i, snippet in enumerate(snippets, 1))


def links(hits: Sequence[SearchHit]) -> str:
    """Return title, date, address and text per hit, for agents that then open pages."""
    return "\n\n".join(_link(number, hit) for number, hit in enumerate(hits, 1))


FORMATS: Mapping[str, Format] = {
    "search_r1": search_r1,
    "verl": verl,
    "skyrl": skyrl,
    "arpo": arpo,
    "links": links,
}


def format_named(name: str) -> Format:
    """Return a format.

    Raises:
        UnknownNameError: there is none of that name.
    """
    if name not in FORMATS:
        raise unknown_name("format of search results", name, FORMATS)
    return FORMATS[name]


def _passages(hits: Iterable[SearchHit]) -> Iterator[tuple[int, str, str]]:
    """Yield number, first line and rest of every hit; titles keep their quotes."""
    for number, hit in enumerate(hits, 1):
        title, _, text = hit.contents.partition("\n")
        yield number, title, text


def _link(number: int, hit: SearchHit) -> str:
    date = f" ({hit.date})" if hit.date else ""
    lines = [f"[{number}] {hit.title}{date}", hit.url or "", hit.snippet]
    return "\n".join(line for line in lines if line)
