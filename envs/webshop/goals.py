"""Goals: what the agent is asked to buy.

Follows princeton-nlp/WebShop:web_agent_site/engine/goal.py.  Prices and price limits come from one
generator, seeded by us (`price_seed`; the original leaves it unseeded), the order of the goals from
another (`shuffle_seed`; the original has 233).  Only numbers are stored; a goal's text is made when
it is asked for.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from agentrl.envs.arrays import map_array
from agentrl.envs.webshop.products import Product, actual_price

PRICE_STEPS = tuple(10.0 * step for step in range(1, 100))
"""Upper limits a goal may name, in dollars."""

NO_LIMIT = 1_000_000.0
GOAL_FILES = ("actual_prices", "products", "choices", "limits", "weights")


@dataclass(frozen=True, slots=True)
class Goal:
    """One goal.

    Attributes:
        asin: the product it was made from.
        category: of that product.
        query: of that product.
        name: title of that product.
        product_category: of that product.
        instruction_text: what the agent is told.
        attributes: what the product must have.
        price_upper: what it may cost, in dollars.
        goal_options: option name to value (synthetic), or values alone (human).
        weight: with which the original samples it.
    """

    asin: str
    category: str
    query: str
    name: str
    product_category: str
    instruction_text: str
    attributes: tuple[str, ...]
    price_upper: float
    goal_options: Mapping[str, str] | tuple[str, ...]
    weight: float = 1.0

    def digest(self) -> str:
        """Return a digest of all that the reward and the agent see of it."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class GoalSet:
    """The shuffled goals of a catalogue.

    Args:
        folder: where `write_goals` put them.
        product: gives a product by its number.
        human: whether they are the human goals.
    """

    def __init__(self, folder: Path, product: Callable[[int], Product], human: bool) -> None:
        arrays = [map_array(folder, name) for name in GOAL_FILES]
        self._prices, self._products, self._choices, self._limits, self._weights = arrays
        self._product, self._human = product, human

    def __len__(self) -> int:
        return len(self._products)

    def __getitem__(self, index: int) -> Goal:
        product = self._product(self.product_number(index))
        limit, weight = float(self._limits[index]), float(self._weights[index])
        return make_goal(product, int(self._choices[index]), limit, weight, self._human)

    def draw(self, share: float) -> int:
        """Return the goal at a share, in [0, 1), of the summed weights."""
        summed = np.cumsum(self._weights)
        return int(np.searchsorted(summed, share * summed[-1], side="right"))

    def product_number(self, index: int) -> int:
        """Return the number of the product a goal was made from."""
        return int(self._products[index])

    def actual_price(self, product_number: int) -> float:
        """Return what a product costs, in dollars."""
        return float(self._prices[product_number])


def make_goal(product: Product, choice: int, limit: float, weight: float, human: bool) -> Goal:
    """Return one of the goals of a product.

    Args:
        product: the product.
        choice: which combination of its options, or which of its human instructions.
        limit: the upper price; `NO_LIMIT` is not told to the agent.
        weight: its sampling weight.
        human: whether `choice` counts human instructions.
    """
    options: Mapping[str, str] | tuple[str, ...]
    if human:
        told, attributes, options = product.human[choice]
        text = told.strip(".")
    else:
        attributes, options = product.instruction_attributes, _combination(product, choice)
        listed = ", and ".join(f"{name}: {value}" for name, value in options.items())
        text = f"{product.instruction}{' with ' + listed if listed else ''}"
    if limit != NO_LIMIT:
        text += f", and price lower than {limit:.2f} dollars"
    return Goal(
        asin=product.asin,
        category=product.category,
        query=product.query,
        name=product.title,
        product_category=product.product_category,
        instruction_text=text,
        attributes=attributes,
        price_upper=limit,
        goal_options=options,
        weight=weight,
    )


def write_goals(
    folder: Path,
    products: Callable[[], Iterator[Product]],
    human: bool,
    price_seed: int,
    shuffle_seed: int,
) -> None:
    """Draw prices, make all goals and store them, shuffled.

    Args:
        folder: an existing folder.
        products: goes through the catalogue in order.
        human: human instead of synthetic goals.
        price_seed: of the generator for prices and limits.
        shuffle_seed: of the generator for the order.
    """
    generator = Random(price_seed)
    prices = array("d", (actual_price(product.prices, generator) for product in products()))
    numbers, choices, limits = array("i"), array("i"), array("d")
    wanted: list[tuple[str, ...]] = []
    seen: Counter[str] = Counter()
    for number, product in enumerate(products()):
        for choice, limit, attributes in _goals_of(product, prices[number], generator, human):
            numbers.append(number)
            choices.append(choice)
            limits.append(limit)
            wanted.append(attributes)
            seen.update(attributes)
    weights = [1.0 if human else sum(1.0 / seen[a] for a in one) / len(one) for one in wanted]
    order = list(range(len(numbers)))
    Random(shuffle_seed).shuffle(order)
    stored: dict[str, Any] = {
        "actual_prices": np.array(prices, np.float64),
        "products": np.array(numbers, np.int32)[order],
        "choices": np.array(choices, np.int32)[order],
        "limits": np.array(limits, np.float64)[order],
        "weights": np.array(weights, np.float64)[order],
    }
    for name, values in stored.items():
        np.save(folder / f"{name}.npy", values)


def _goals_of(
    product: Product, price: float, generator: Random, human: bool
) -> Iterator[tuple[int, float, tuple[str, ...]]]:
    """Yield `(choice, limit, attributes)`: one limit a product, or one a human instruction."""
    if human:
        for choice, (_, attributes, _) in enumerate(product.human):
            yield choice, _price_limit(price, generator), attributes
    elif product.instruction is not None:
        limit = _price_limit(price, generator)
        for choice in range(prod(len(values) for values in product.options.values())):
            yield choice, limit, product.instruction_attributes


def _price_limit(price: float, generator: Random) -> float:
    candidates = [step for step in PRICE_STEPS if step > price][:4]
    return sorted(generator.sample(candidates, 2))[1] if len(candidates) >= 2 else NO_LIMIT


def _combination(product: Product, choice: int) -> dict[str, str]:
    """Return entry `choice` of the product of all options, names sorted, the last one fastest."""
    chosen = []
    for name in sorted(product.options, reverse=True):
        choice, position = divmod(choice, len(product.options[name]))
        chosen.append((name, product.options[name][position]))
    return dict(reversed(chosen))
