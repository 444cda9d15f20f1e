"""The two texts of a page: `text` and `text_rich`.

A page is a list of pieces; each is shown plainly in `text`, and with its role in `text_rich`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import Enum

from agentrl.envs.webshop.pages import Session, Shop

Piece = tuple[str, "Role"]


class Role(Enum):
    """How a piece of text can be used."""

    PLAIN = "plain"
    BUTTON = "button"
    OPTION = "option"
    PRODUCT = "product"


def simple_text(pieces: list[Piece]) -> str:
    """Return the observation of mode `text`."""
    return " [SEP] ".join(text.strip() for text, _ in pieces if text not in ("", "\n"))


def rich_text(pieces: list[Piece], session: Session, shop: Shop) -> str:
    """Return the observation of mode `text_rich`."""
    chosen: list[str] = []
    lines: list[str] = []
    url = shop.url(session)
    for text, role in pieces:
        if text in ("", "\n"):
            continue
        if role is Role.BUTTON:
            lines.append(f"[button] {text} [button_]")
        elif role is Role.OPTION:
            # The original looks for the quoted value in its address.
            clicked = "clicked " if f'"{text}"' in url else ""
            lines.append(f"  [{clicked}button] {text} [{clicked}button_]")
            if clicked:
                chosen.insert(0, f"You have clicked {text}.\n")
        elif role is Role.PRODUCT:
            clicked = "clicked " if shop.catalogue.number(text) in session.visited else ""
            lines.append(f"\n[{clicked}button] {text} [{clicked}button_]")
        else:
            lines.append(text)
    return "".join(chosen) + "".join(f"{line}\n" for line in lines)


def pieces(session: Session, shop: Shop, instruction: str, reward: float) -> list[Piece]:
    """Return the pieces of a page.

    Args:
        session: where the agent is.
        shop: the shop.
        instruction: what the agent was told.
        reward: of the purchase; shown on the last page.
    """
    if session.page == "home":
        return _plain("WebShop", "Instruction: ", instruction) + _buttons("Search")
    if session.page == "done":
        return list(_done(session, shop, reward))
    head = _plain("Instruction:", instruction) + _buttons("Back to Search")
    if session.page == "results":
        return head + list(_results(session, shop))
    body = _item(session, shop) if session.page == "item" else _sub_page(session, shop)
    return head + _buttons("< Prev") + list(body)


def _plain(*texts: str) -> list[Piece]:
    return [(text, Role.PLAIN) for text in texts]


def _buttons(*texts: str) -> list[Piece]:
    return [(text, Role.BUTTON) for text in texts]


def _results(session: Session, shop: Shop) -> Iterator[Piece]:
    yield from _plain(f"Page {session.number} (Total results: {len(session.results)})")
    if session.number > 1:
        yield from _buttons("< Prev")
    yield from _buttons("Next >")
    for number in shop.shown(session):
        asin, title, price_tag = shop.catalogue.card(number)
        yield asin, Role.PRODUCT
        yield from _plain(title, price_tag)


def _item(session: Session, shop: Shop) -> Iterator[Piece]:
    assert session.item is not None
    product = shop.catalogue.product(session.item)
    for name, values in product.options.items():
        yield name, Role.PLAIN
        yield from ((value, Role.OPTION) for value in values)
    yield from _plain(product.title, f"Price: {product.price_tag}", "Rating: N.A.")
    yield from _buttons(*(name.capitalize() for name in shop.sub_pages()), "Buy Now")


def _sub_page(session: Session, shop: Shop) -> list[Piece]:
    assert session.item is not None
    product = shop.catalogue.product(session.item)
    if session.sub_page == "description":
        return _plain(product.description)
    if session.sub_page == "features":
        return _plain(*(f" {bullet}" for bullet in product.bullets))
    if session.sub_page == "reviews":
        return []
    attributes = (f" {attribute}" for attribute in product.attributes)
    return _plain(*attributes, product.category, product.query, product.product_category)


def _done(session: Session, shop: Shop, reward: float) -> Iterator[Piece]:
    assert session.item is not None
    asin = shop.catalogue.card(session.item)[0]
    yield from _plain("Thank you for shopping with us!", "Your code: ", "None")
    yield from _plain(" (Paste it in your MTurk interface.)", "Purchased", "asin", asin)
    yield from _plain("options", _options_text(session), "attrs", "None")
    yield from _plain("category", "None", "query", "None", "product category", "None")
    yield from _plain("Target", "asin", "options", "attrs", "price upper", "instuction text")
    yield from _plain("category", "product category", "query", "Goal ", "None", "Reward")
    yield from _plain("Your score (min 0.0, max 1.0)", str(reward), "Reward Details ", "None")


def _options_text(session: Session) -> str:
    """Return the chosen options as Flask's `tojson` writes them: sorted, safe inside HTML."""
    text = json.dumps(dict(session.options), sort_keys=True)
    for char in "<>&'":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text
