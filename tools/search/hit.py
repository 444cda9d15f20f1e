"""One hit of a search, the same whoever found it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from agentrl.tools.base import JSON

_QUOTED = re.compile(r'"((?:[^"]|"")*)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchHit:
    """What a back end found.

    Attributes:
        title: plain text.
        snippet: plain text; the whole passage where the source is a corpus of passages.
        url: None for passages without an address.
        date: as the source writes it, where it does.
        score: higher is better, where the source gives one; not comparable between sources.
        source: the back end.
        extra: more of what the source said, for example `id` and `contents` of a passage.
    """

    title: str
    snippet: str
    url: str | None = None
    date: str | None = None
    score: float | None = None
    source: str = ""
    extra: Mapping[str, JSON] = field(default_factory=dict)

    @property
    def contents(self) -> str:
        """The hit as a passage of Search-R1's corpus: the title in quotes, a new line, the text."""
        own = self.extra.get("contents")
        return own if isinstance(own, str) else joined_contents(self.title, self.snippet)


def joined_contents(title: str, text: str) -> str:
    """Return title and text as one passage; quotes in the title are doubled."""
    doubled = title.replace('"', '""')
    return f'"{doubled}"\n{text}'


def split_contents(contents: str) -> tuple[str, str]:
    """Return title and text of a passage: the first line, without its quotes, and the rest.

    The corpus form of PeterGriffinJin/Search-R1: the title in double quotes, inner ones doubled.
    """
    line, _, text = contents.partition("\n")
    quoted = _QUOTED.fullmatch(line.strip())
    return (quoted[1].replace('""', '"') if quoted else line.strip()), text
