"""A catalogue made by us, so that the shop can be played without any data.

Two styles: `shop` looks like the published catalogue; `tiny` has a few kinds of things with short
titles and one option each, for models with a small context that are trained from scratch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random

from agentrl.envs.webshop.products import Product
from agentrl.envs.webshop.vocabulary import BRAND_ENDS, BRAND_STARTS, SHOP_KINDS, TINY_KINDS, Kind

GENERATOR = 1
"""Raised whenever the same seed gives another catalogue."""

STYLES: Mapping[str, int] = {"shop": 200, "tiny": 48}
"""Style to its usual number of products; `tiny` has no more different ones."""


def generate(size: int, seed: int, style: str) -> Iterator[Product]:
    """Yield `size` products; a larger catalogue of the same seed begins with the smaller one."""
    for number in range(size):
        random = Random(f"{style}-{seed}-{number}")
        if style == "tiny":
            yield _tiny(number, random)
        else:
            yield _shop(number, random)


def _shop(number: int, random: Random) -> Product:
    kind = SHOP_KINDS[number % len(SHOP_KINDS)]
    brand = random.choice(BRAND_STARTS) + random.choice(BRAND_ENDS)
    attributes = random.sample(kind.attributes, random.randint(2, 4))
    options = {name: tuple(_some(values, random)) for name, values in kind.options}
    prices, tag = _prices(kind, random)
    wished = attributes[: random.randint(1, len(attributes))]
    model = f"{random.choice('ABCDEFGHKLMNPRSTVW')}{random.randint(10, 99)}"
    return Product(
        asin=f"B{_code(number, 36, 9)}",
        title=f"{brand} {model} {kind.name.title()} with {attributes[0].title()}, {attributes[1]}",
        price_tag=tag,
        prices=prices,
        description=(
            f"{kind.name.capitalize()} by {brand}. They come with {' and '.join(attributes)}. "
            f"{random.choice(_CLOSINGS)}"
        ),
        bullets=tuple(f"{one.capitalize()}: {random.choice(_PRAISE)} " for one in attributes),
        options=options,
        attributes=tuple(attributes),
        category=kind.department,
        query=kind.name,
        product_category=kind.path,
        instruction=_instruction(kind.name, wished),
        instruction_attributes=tuple(wished),
    )


_CLOSINGS = (
    "Made to be used every day.",
    "Write to us within thirty days if anything is wrong.",
    "A present for friends and family.",
    "Please see the table of sizes before you order.",
)
_PRAISE = (
    "what our customers ask for most.",
    "tested in our own workshop.",
    "you will notice it at once.",
    "better than in our last series.",
)


def _instruction(name: str, wished: list[str]) -> str:
    """Return an instruction worded as the published synthetic ones."""
    rest = f" with {', '.join(wished[1:])}" if len(wished) > 1 else ""
    return f"Find me {wished[0]} {name}{rest}"


def _tiny(number: int, random: Random) -> Product:
    kind = TINY_KINDS[number % len(TINY_KINDS)]
    material = kind.attributes[number // len(TINY_KINDS) % len(kind.attributes)]
    ((option, values),) = kind.options
    prices, tag = _prices(kind, random, ranges=False)
    return Product(
        asin=f"P{number}",
        title=f"{material} {kind.name}",
        price_tag=tag,
        prices=prices,
        description=f"A {kind.name} made of {material}.",
        bullets=(f"{material} ",),
        options={option: tuple(_some(values, random))},
        attributes=(material,),
        category=kind.department,
        query=kind.name,
        product_category=kind.path,
        instruction=f"Find me {material} {kind.name}",
        instruction_attributes=(material,),
    )


def _prices(kind: Kind, random: Random, ranges: bool = True) -> tuple[tuple[float, ...], str]:
    low = float(round(random.uniform(*kind.price)))
    if ranges:
        low = round(low - 0.01, 2)
    if ranges and random.random() < 0.2:
        high = round(low + random.randint(2, 12), 2)
        return (low, high), f"${low} to ${high}"
    return (low,), f"${low}"


def _some(values: tuple[str, ...], random: Random) -> list[str]:
    """Return two to five of the values, in their order."""
    chosen = set(random.sample(values, min(len(values), random.randint(2, 5))))
    return [value for value in values if value in chosen]


def _code(number: int, base: int, length: int) -> str:
    """Return a number in upper-case letters and digits."""
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    text = ""
    for _ in range(length):
        number, digit = divmod(number, base)
        text = digits[digit] + text
    return text
