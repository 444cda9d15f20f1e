"""The reward of a purchase, in [0, 1].

Follows princeton-nlp/WebShop:web_agent_site/engine/goal.py with the fuzzy comparison of thefuzz.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rapidfuzz.fuzz import token_set_ratio
from rapidfuzz.utils import default_process

from agentrl.envs.webshop.colors import normalize_color
from agentrl.envs.webshop.goals import Goal
from agentrl.envs.webshop.nouns import NounTagger, likely_nouns
from agentrl.envs.webshop.products import Product

SIMILAR = 85
"""Texts whose similarity (0 to 100) is higher count as the same."""

TYPE_MODES = ("heuristic", "always_one_if_query_or_category")
_LATIN_1 = dict.fromkeys(range(128, 256))


@dataclass(frozen=True, slots=True)
class Judgement:
    """A purchase compared with a goal.

    Attributes:
        reward: the product of `r_type` and the share of fulfilled wishes.
        r_type: 1.0, 0.5, 0.1 or 0.0: is it the right sort of product?
        r_att: share of the attributes it has; 1 if none is wished for.
        r_option: share of the options chosen; None if none is wished for.
        r_price: whether it is within the price limit.
        attributes_met: count behind `r_att`.
        options_met: count behind `r_option`.
        query_match: both products were found by the same query.
        category_match: their category paths share two entries.
        title_score: share of the nouns of the goal's title.
    """

    reward: float
    r_type: float
    r_att: float
    r_option: float | None
    r_price: bool
    attributes_met: int
    options_met: int
    query_match: bool
    category_match: bool
    title_score: float


def judge(
    product: Product,
    goal: Goal,
    price: float,
    chosen: Mapping[str, str],
    colors: tuple[str, ...],
    noun_tagger: NounTagger = likely_nouns,
    type_mode: str = "heuristic",
) -> Judgement:
    """Judge a purchase.

    Args:
        product: what was bought.
        goal: what was wanted.
        price: what it costs, in dollars.
        chosen: the options chosen, by name.
        colors: colour words in the order in which they are looked for.
        noun_tagger: finds the nouns of a title.
        type_mode: `heuristic`: the original's rule with our tagger; the other one of `TYPE_MODES`
            leaves the title out where query or category match.
    """
    attributes_met = sum(_has_attribute(product, wished) for wished in goal.attributes)
    options_met = len(options_matched(goal, tuple(chosen.values()), colors))
    within = price <= goal.price_upper
    query_match, category_match = product.query == goal.query, _category_match(product, goal)
    title_score = _title_score(product.title, goal.name, noun_tagger)
    if type_mode == TYPE_MODES[1] and (query_match or category_match):
        r_type = 1.0
    else:
        r_type = _type_factor(query_match or category_match or title_score > 0.2, title_score)
    wishes = len(goal.attributes) + len(goal.goal_options) + 1
    return Judgement(
        reward=(attributes_met + options_met + within) / wishes * r_type,
        r_type=r_type,
        r_att=attributes_met / len(goal.attributes) if goal.attributes else 1.0,
        r_option=options_met / len(goal.goal_options) if goal.goal_options else None,
        r_price=within,
        attributes_met=attributes_met,
        options_met=options_met,
        query_match=query_match,
        category_match=category_match,
        title_score=title_score,
    )


def options_matched(goal: Goal, chosen: tuple[str, ...], colors: tuple[str, ...]) -> list[int]:
    """Return which of the goal's options some chosen value matches, by position.

    A synthetic goal's option is compared as the text of its pair, as in the original.
    """
    wished: list[Any] = list(goal.goal_options)
    if isinstance(goal.goal_options, Mapping):
        wished = list(goal.goal_options.items())
    values = [str(normalize_color(value, colors)) for value in chosen]
    targets = [str(normalize_color(option, colors)) for option in wished]
    return [
        position
        for position, target in enumerate(targets)
        if any(similarity(value, target) > SIMILAR for value in values)
    ]


@lru_cache(maxsize=4096)
def similarity(first: str, second: str) -> int:
    """Return thefuzz's `token_set_ratio`, 0 to 100; Latin-1 letters beyond ASCII are dropped."""
    cleaned = (default_process(text.translate(_LATIN_1)) for text in (first, second))
    return round(token_set_ratio(*cleaned))


def _has_attribute(product: Product, wished: str) -> bool:
    if any(similarity(attribute, wished) > SIMILAR for attribute in product.attributes):
        return True
    texts = (product.title, " ".join(product.bullets), product.description)
    return any(wished in text.lower() for text in texts)


def _category_match(product: Product, goal: Goal) -> bool:
    paths = (product.product_category.split("›"), goal.product_category.split("›"))
    first, second = ({entry.strip() for entry in path} for path in paths)
    return len(first & second) >= 2


def _title_score(title: str, wanted_title: str, noun_tagger: NounTagger) -> float:
    wanted = noun_tagger(wanted_title)
    if not wanted:
        return 0.2
    return len(set(noun_tagger(title)) & set(wanted)) / len(wanted)


def _type_factor(match: bool, title_score: float) -> float:
    if title_score == 0:
        return 0.0
    if title_score < 0.1:
        return 0.1
    return 1.0 if match else 0.5
