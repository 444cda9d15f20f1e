"""HTML as readable text: headings, lists, tables, and links with absolute addresses.

Written on the standard library's parser because the links and tables of a page are what an agent
goes by: the extraction library trafilatura, which looks for the article of a page, dropped both on
short pages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urldefrag, urljoin, urlsplit

from agentrl.tools.browse.page import Link, Page

UNSEEN = re.compile(
    "script|style|noscript|template|svg|math|iframe|object|canvas|audio|video|select"
)
BLOCK = re.compile(
    "address|article|aside|blockquote|body|caption|center|dd|details|dialog|div|dl|dt|fieldset|figcaption|"
    "figure|footer|form|h[1-6]|header|hr|html|legend|li|main|nav|ol|p|pre|section|summary|ul"
)
CHUNK = 524_288
LONGEST_REST = 1000
"""Characters that are looked at of a tag or comment without an end."""
DEEPEST = 100
"""Tables, rows and cells in each other; deeper ones are not told apart."""
SPACE = re.compile(r"\s+")
HEADING = re.compile(r"h[1-6]")


def read_html(html: str, url: str) -> Page:
    """Return a page from its HTML.

    Args:
        html: its source, however broken.
        url: its address; relative links start from there, or from its `<base>`.
    """
    reader = _Reader(url)
    for start in range(0, len(html), CHUNK):
        reader.feed(html[start : start + CHUNK])
    if "<" in reader.rawdata:  # never closed: not to be seen, and slow to search again and again
        reader.rawdata = reader.rawdata[:LONGEST_REST]
    reader.close()
    return Page(
        url=url,
        title=_collapsed("".join(reader.title)),
        text=reader.text(),
        links=tuple(reader.links),
    )


@dataclass(slots=True)
class _Frame:
    """What is being read: the page, a table, a row or a cell.

    Attributes:
        kind: `page`, `table`, `tr` or `td`.
        lines: finished ones; of a row its cells.
        inline: pieces of the line that is not finished.
    """

    kind: str
    lines: list[str] = field(default_factory=list)
    inline: list[str] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self, url: str) -> None:
        super().__init__(convert_charrefs=True)
        self.title: list[str] = []
        self.links: dict[Link, None] = {}
        self._base = url
        self._frames = [_Frame("page")]
        self._unseen: list[str] = []
        self._in_title = False
        self._counters: list[int | None] = []  # of lists; None: not numbered
        self._link = ""
        self._link_start = 0
        self._verbatim = 0

    def text(self) -> str:
        """Return the readable text; nothing may be fed after."""
        self._end_link()
        while len(self._frames) > 1:
            self._close_frame()
        self._end_line()
        return "\n".join(self._frames[0].lines)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        unseen = UNSEEN.fullmatch(tag)
        if unseen or self._unseen:
            if unseen:
                self._unseen.append(tag)
            return
        values = dict(attrs)
        match tag:
            case "title":
                self._in_title = True
            case "base":
                self._base = urljoin(self._base, values.get("href") or "")
            case "a":
                self._end_link()
                self._start_link(values.get("href"))
            case "br":
                self._end_line()
            case "img":
                self._frames[-1].inline.append(f" {values.get('alt') or ''} ")
            case "table" | "tr" | "td" | "th":
                self._start_cells(tag)
            case _ if BLOCK.fullmatch(tag):
                self._start_block(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._unseen:
            if tag == self._unseen[-1]:
                self._unseen.pop()
            return
        match tag:
            case "title":
                self._in_title = False
            case "a":
                self._end_link()
            case "table" | "tr" | "td" | "th":
                self._close_frames("td" if tag == "th" else tag)
            case _ if BLOCK.fullmatch(tag):
                self._end_block(tag)

    def handle_data(self, data: str) -> None:
        if self._unseen:
            return
        if self._in_title:
            self.title.append(data)
        elif self._verbatim and not self._link:
            first, *others = data.split("\n")
            self._frames[-1].inline.append(first)
            for line in others:
                self._end_line()
                self._frames[-1].inline.append(line)
        else:
            self._frames[-1].inline.append(data)

    def _start_block(self, tag: str) -> None:
        self._in_title = False
        self._end_line()
        if tag in ("ul", "ol"):
            self._counters.append(0 if tag == "ol" else None)
        elif tag == "li":
            self._frames[-1].inline.append(self._bullet())
        elif HEADING.fullmatch(tag):
            self._frames[-1].inline.append("#" * int(tag[1]) + " ")
        self._verbatim += tag == "pre"

    def _end_block(self, tag: str) -> None:
        self._end_line()
        if tag in ("ul", "ol") and self._counters:
            self._counters.pop()
        if tag == "pre" and self._verbatim:
            self._verbatim -= 1

    def _bullet(self) -> str:
        if not self._counters or self._counters[-1] is None:
            return "- "
        self._counters[-1] += 1
        return f"{self._counters[-1]}. "

    def _end_line(self) -> None:
        if self._link:  # a link is one line, whatever is in it
            self._frames[-1].inline.append(" ")
            return
        frame = self._frames[-1]
        line = "".join(frame.inline)
        line = line.rstrip().expandtabs() if self._verbatim else _collapsed(line)
        if line and line.strip("# ") not in ("", "-"):
            frame.lines.append(line)
        frame.inline.clear()

    def _start_link(self, href: str | None) -> None:
        url = _absolute(self._base, href)
        if url:
            self._link, self._link_start = url, len(self._frames[-1].inline)

    def _end_link(self) -> None:
        if not self._link:
            return
        url, self._link = self._link, ""
        inline = self._frames[-1].inline
        raw = "".join(inline[self._link_start :])
        del inline[self._link_start :]
        text = _collapsed(raw)
        if text:
            before, after = (" " * part.isspace() for part in (raw[:1], raw[-1:]))
            inline.append(f"{before}[{text}]({url}){after}")
            self.links[Link(text, url)] = None

    def _start_cells(self, tag: str) -> None:
        """Open a table, row or cell, and close those that were left open."""
        self._end_link()
        if len(self._frames) > DEEPEST:
            return
        if tag == "table":
            self._end_line()
            self._frames.append(_Frame("table"))
            return
        kind = "td" if tag == "th" else tag
        self._close_frames(kind, within="table")
        self._frames.append(_Frame(kind))

    def _close_frames(self, kind: str, within: str = "page") -> None:
        """Close what is open up to the innermost frame of a kind, if it is open."""
        self._end_link()
        kinds = [frame.kind for frame in self._frames]
        innermost = len(kinds) - 1 - kinds[::-1].index(within) if within in kinds else 0
        if kind in kinds[innermost + 1 :] or (kind == within and kind in kinds):
            while self._frames[-1].kind != kind:
                self._close_frame()
            self._close_frame()

    def _close_frame(self) -> None:
        """Add what the innermost frame holds to the one around it."""
        self._end_link()
        self._end_line()
        frame = self._frames.pop()
        around = self._frames[-1]
        if frame.kind == "td":
            around.lines.append("\n".join(frame.lines))
        elif frame.kind == "tr":
            around.lines += _row(frame.lines)
        else:
            around.lines += frame.lines


def _row(cells: list[str]) -> list[str]:
    """Return the lines of a row: one for data, those of its cells where it is for layout."""
    filled = [cell for cell in cells if cell]
    layout = len(cells) < 2 or any("\n" in cell for cell in cells)
    return filled if layout or not filled else [f"| {' | '.join(cells)} |"]


def _absolute(base: str, href: str | None) -> str:
    """Return where a link leads; empty for what is no page, and for places in the page."""
    if not href or href.startswith("#"):
        return ""
    try:
        url = urldefrag(urljoin(base, href.strip())).url
        return url if urlsplit(url).scheme in ("http", "https") else ""
    except ValueError:
        return ""


def _collapsed(text: str) -> str:
    return SPACE.sub(" ", text).strip()
