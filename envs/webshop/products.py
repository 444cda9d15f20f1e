"""A product as the shop keeps it, and how it is read from the published catalogue.

Follows the loading of princeton-nlp/WebShop:web_agent_site/engine/engine.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass
from random import Random
from typing import Any

from agentrl.errors import DataError

NO_PRICE = 100.0
"""The price in dollars of a product whose entry names none."""

LONGEST_ASIN = 10
_NEEDED = ("asin", "name", "full_description", "small_description", "category", "query")


@dataclass(frozen=True, slots=True)
class Product:
    """One product.

    Attributes:
        asin: the product's id.
        title: its name.
        price_tag: the price or price range as it is shown.
        prices: no more than two numbers, in dollars.
        description: its full description.
        bullets: its features.
        options: option name to the values one can choose from.
        attributes: what the reward compares with the attributes of a goal.
        category: one of the shop's few departments.
        query: the search that found it when the catalogue was made, lower case.
        product_category: the path of categories, parted by `›`.
        instruction: the synthetic instruction, if it has one.
        instruction_attributes: the attributes that the synthetic instruction asks for.
        human: human instructions: `(text, attributes, options)`.
    """

    asin: str
    title: str
    price_tag: str
    prices: tuple[float, ...]
    description: str
    bullets: tuple[str, ...]
    options: Mapping[str, tuple[str, ...]]
    attributes: tuple[str, ...]
    category: str
    query: str
    product_category: str
    instruction: str | None = None
    instruction_attributes: tuple[str, ...] = ()
    human: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = ()

    def document(self) -> str:
        """Return the text that search looks at."""
        options = ", and ".join(f"{name}: {', '.join(v)}" for name, v in self.options.items())
        first = self.bullets[0] if self.bullets else ""
        return " ".join((self.title, self.description, first, options)).lower()

    def dump(self) -> bytes:
        """Return the product as one JSON list."""
        return json.dumps(astuple(self), ensure_ascii=False, separators=(",", ":")).encode(
            "utf-8", "surrogatepass"
        )

    @classmethod
    def load(cls, data: bytes) -> Product:
        """Rebuild a product written by `dump`."""
        fields = json.loads(data.decode("utf-8", "surrogatepass"))
        fields[3], fields[5] = tuple(fields[3]), tuple(fields[5])
        fields[6] = {name: tuple(values) for name, values in fields[6].items()}
        fields[7], fields[12] = tuple(fields[7]), tuple(fields[12])
        fields[13] = tuple((text, tuple(a), tuple(o)) for text, a, o in fields[13])
        return cls(*fields)


def read_products(
    entries: Iterable[Mapping[str, Any]],
    annotations: Mapping[str, Mapping[str, Any]],
    human: Mapping[str, Any],
) -> Iterator[Product]:
    """Read the entries of `items_shuffle*.json`; ids that are odd or seen before are left out.

    Args:
        entries: the catalogue, in its order.
        annotations: content of `items_ins_v2*.json`, by ASIN.
        human: content of `items_human_ins.json`, by ASIN; may be empty.

    Raises:
        DataError: an entry lacks a field.
    """
    seen: set[str] = set()
    for number, entry in enumerate(entries):
        asin = _checked_asin(entry, number)
        if asin == "nan" or len(asin) > LONGEST_ASIN or asin in seen:
            continue
        seen.add(asin)
        yield _product(entry, annotations.get(asin, {}), human.get(asin, ()))


def actual_price(prices: tuple[float, ...], generator: Random) -> float:
    """Return what a product costs: the price, or a uniform draw from its range."""
    return prices[0] if len(prices) == 1 else generator.uniform(prices[0], prices[1])


def _checked_asin(entry: Any, number: int) -> str:
    if not isinstance(entry, Mapping):
        raise DataError(f"Entry {number} of the WebShop catalogue is not a JSON object.")
    missing = [name for name in _NEEDED if name not in entry]
    if missing:
        raise DataError(
            f"Entry {number} of the WebShop catalogue has no field {missing[0]!r}; it is not the "
            "published items_shuffle file."
        )
    return str(entry["asin"])


def _product(entry: Mapping[str, Any], notes: Mapping[str, Any], human: Iterable[Any]) -> Product:
    prices, tag = _pricing(entry.get("pricing"))
    bullets = entry["small_description"]
    instruction = notes.get("instruction")
    return Product(
        asin=str(entry["asin"]),
        title=_text(entry["name"]),
        price_tag=tag,
        prices=prices,
        description=_text(entry["full_description"]),
        bullets=tuple(map(_text, bullets if isinstance(bullets, list) else [bullets])),
        options=_options(entry.get("customization_options")),
        attributes=tuple(notes.get("attributes", ("DUMMY_ATTR",))),
        category=_text(entry["category"]),
        query=_text(entry["query"]).lower().strip(),
        product_category=_text(entry.get("product_category")),
        instruction=instruction or None,
        instruction_attributes=tuple(notes.get("instruction_attributes") or ()),
        human=tuple(
            (
                str(one["instruction"]),
                tuple(one["instruction_attributes"]),
                tuple(one["instruction_options"]),
            )
            for one in human
            if one["instruction_attributes"]
        ),
    )


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _pricing(text: Any) -> tuple[tuple[float, ...], str]:
    """Return prices and price tag; a text without a readable price counts as none."""
    parts = str(text).split("$")[1:] if text else []
    try:
        prices = tuple(float(re.sub(r"[^\d.]", "", part)) for part in parts)
    except ValueError:
        prices = ()
    if not prices:
        prices = (NO_PRICE,)
    tag = f"${prices[0]}" if len(prices) == 1 else f"${prices[0]} to ${prices[1]}"
    return prices[:2], tag


def _options(customization: Any) -> dict[str, tuple[str, ...]]:
    options = {}
    for name, values in (customization or {}).items():
        if values is not None:
            options[name.lower()] = tuple(
                _text(one["value"]).strip().replace("/", " | ").lower() for one in values
            )
    return options
