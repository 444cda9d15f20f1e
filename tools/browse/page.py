"""A page as an agent reads it, and where pages come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Link:
    """A link of a page.

    Attributes:
        text: what is shown of it.
        url: where it leads, absolute and without fragment.
    """

    text: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page.

    Attributes:
        url: where it was found in the end, after redirects.
        title: empty where it has none.
        text: readable; links are written `[text](address)`.
        links: in the order of the page, each once.
        cached: whether it was not fetched just now.
    """

    url: str
    title: str = ""
    text: str = ""
    links: tuple[Link, ...] = ()
    cached: bool = False


class PageSource(Protocol):
    """Gets pages."""

    @property
    def name(self) -> str:
        """For records and caches."""

    async def read(self, url: str) -> Page:
        """Return the page at an address.

        Raises:
            ToolError: there is none to be had; the text is for the model.
        """

    async def close(self) -> None:
        """Free everything."""


def part(text: str, number: int, size: int) -> tuple[str, int]:
    """Return one of the parts a long text is shown in, and how many there are.

    A part ends at a line or a word where there is one in its last fifth.

    Args:
        text: all of it.
        number: of the part, from 1; empty where there is none of that number.
        size: characters of a part, at most.
    """
    starts = [0]
    while len(text) - starts[-1] > size:
        starts.append(_end(text, starts[-1], size))
    if not 1 <= number <= len(starts):
        return "", len(starts)
    start, *following = [*starts[number - 1 : number + 1]]
    return text[start : following[0] if following else None].strip(), len(starts)


def _end(text: str, start: int, size: int) -> int:
    for boundary in ("\n", " "):
        found = text.rfind(boundary, start + size - size // 5, start + size)
        if found >= 0:
            return found + 1
    return start + size
