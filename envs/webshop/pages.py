"""The pages of the shop: what is where, and where a click leads.

Follows princeton-nlp/WebShop:web_agent_site/envs/web_agent_text_env.py: the engine there renders
HTML and reads it back; here the pieces of text that this leaves are written down directly.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from agentrl.envs.webshop.catalogue import Catalogue

PageName = Literal["home", "results", "item", "sub", "done"]
PAGE_SIZE = 10

_LONGEST_QUERY_SHOWN = 200
_SUB_PAGES = ("description", "features", "reviews", "attributes")


@dataclass(frozen=True, slots=True)
class Session:
    """The state of one visit; immutable, so that a fork shares it.

    Attributes:
        page: the kind of page.
        keywords: the query, parted at single spaces.
        number: page of the results, from 1; pages before the first or after the last are empty.
        results: numbers of the products found, best first.
        item: number of the product looked at, if any.
        sub_page: which sub-page of the product.
        visited: products looked at since the last visit of the home page.
        options: `(name, value)` in the order in which the names were first chosen.
    """

    page: PageName = "home"
    keywords: tuple[str, ...] = ()
    number: int = 0
    results: tuple[int, ...] = ()
    item: int | None = None
    sub_page: str = ""
    visited: frozenset[int] = frozenset()
    options: tuple[tuple[str, str], ...] = ()

    def anchor(self) -> str:
        """Return a text that is equal for equal states."""
        query = " ".join(self.keywords)
        if len(query) > _LONGEST_QUERY_SHOWN:
            query = hashlib.sha256(query.encode("utf-8", "surrogatepass")).hexdigest()
        state = [self.page, self.sub_page, query, self.number, self.item, sorted(self.visited)]
        return json.dumps([*state, sorted(self.options)])


def parse_action(action: str) -> tuple[str, str] | None:
    """Return name and argument of an action; None if it has not the form `name[argument]`.

    The last `[` that leaves an argument before the last `]` of the first line counts: what the
    original's greedy regular expression finds, but in linear time.
    """
    line = action.partition("\n")[0]
    end = line.rfind("]")
    start = line.rfind("[", 1, max(1, end - 1))
    return None if start < 1 else (line[:start], line[start + 1 : end])


def _can_be_named(text: str) -> bool:
    """Return True if `click[text]` is read as a click on `text`."""
    well_formed = bool(text) and "\n" not in text and "[" not in text[:-1]
    return well_formed and text != "search" and text == text.lower()


class Shop:
    """Moves through a catalogue.

    Args:
        catalogue: what is sold.
        show_attributes: item pages have a button `Attributes`.
        page_size: products on a page of results; the original has 10.
    """

    def __init__(
        self, catalogue: Catalogue, show_attributes: bool = False, page_size: int = PAGE_SIZE
    ) -> None:
        self.catalogue = catalogue
        self._show_attributes, self.page_size = show_attributes, page_size

    def shown(self, session: Session) -> tuple[int, ...]:
        """Return the products on the current page of results."""
        start = (session.number - 1) * self.page_size
        return session.results[start : start + self.page_size] if start >= 0 else ()

    def clickables(self, session: Session) -> list[str]:
        """Return what can be clicked, in page order; of `search` on the home page only the name."""
        if session.page == "home":
            return ["search"]
        if session.page == "results":
            previous = ["< prev"] if session.number > 1 else []
            asins = [self.catalogue.card(number)[0].lower() for number in self.shown(session)]
            return list(dict.fromkeys(["back to search", *previous, "next >", *asins]))
        if session.page == "item":
            assert session.item is not None
            options = self.catalogue.product(session.item).options.values()
            buttons = ["back to search", "< prev", *self.sub_pages(), "buy now"]
            return list(dict.fromkeys([*buttons, *(value for group in options for value in group)]))
        return ["back to search", "< prev"] if session.page == "sub" else []

    def act(self, session: Session, action: str) -> Session | None:
        """Return where an action leads; None if it is not accepted.

        `search[query]` is accepted everywhere before the purchase, `click[x]` where `x` can be
        clicked (in any case).  A text with another bracket in it is misread, as in the original.
        """
        parsed = parse_action(action)
        if parsed is None or session.page == "done":
            return None
        name, argument = parsed[0], parsed[1].lower()
        if name == "search":
            return self._search(session, argument)
        if name == "click" and argument != "search" and argument in self.clickables(session):
            return self._click(session, argument)
        return None

    def acceptable(self, session: Session) -> list[str]:
        """Return the clicks that are accepted, in page order."""
        return [f"click[{text}]" for text in self.clickables(session) if _can_be_named(text)]

    def url(self, session: Session) -> str:
        """Return the part of the original's address that its page texts look into."""
        options = json.dumps(dict(session.options))
        return f"{session.item}/{'+'.join(session.keywords)}/{session.number}/{options}"

    def sub_pages(self) -> tuple[str, ...]:
        """Return the names of the buttons that lead to more about a product."""
        return _SUB_PAGES if self._show_attributes else _SUB_PAGES[:3]

    def _search(self, session: Session, query: str) -> Session:
        keywords = tuple(query.split(" "))
        results = self.catalogue.search(" ".join(keywords))
        return Session("results", keywords, 1, results, visited=session.visited)

    def _click(self, session: Session, text: str) -> Session:
        """The names of the buttons come first, even where an option has the same text."""
        fixed: dict[str, Callable[[Session], Session]] = {
            "buy now": lambda before: replace(before, page="done"),
            "back to search": lambda before: Session(),
            "< prev": self._back,
        }
        if text in fixed:
            return fixed[text](session)
        if text == "next >" and session.page == "results":
            return replace(session, number=session.number + 1)
        if text in _SUB_PAGES:
            return replace(session, page="sub", sub_page=text)
        if session.page == "results":
            item = self.catalogue.number(text.upper())
            assert item is not None
            return replace(session, page="item", item=item, visited=session.visited | {item})
        return self._choose(session, text)

    def _back(self, session: Session) -> Session:
        if session.page == "results":
            return replace(session, number=session.number - 1)
        if session.page == "sub":
            return replace(session, page="item", sub_page="")
        return replace(session, page="results", item=None, options=())

    def _choose(self, session: Session, value: str) -> Session:
        """Choose an option value; of several options that have it, the last one gets it."""
        assert session.item is not None
        options = self.catalogue.product(session.item).options
        name = next(name for name in reversed(list(options)) if value in options[name])
        return replace(session, options=tuple({**dict(session.options), name: value}.items()))
