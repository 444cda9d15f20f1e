"""An expert: knows which product a goal was made from, and goes there from wherever it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agentrl.envs.webshop.goals import Goal
from agentrl.envs.webshop.pages import Session, Shop
from agentrl.envs.webshop.products import Product
from agentrl.envs.webshop.reward import options_matched

_PRICE = ", and price lower than "
_OPENINGS = ("find me ", "i am looking for ", "i'm looking for ", "i want ", "i need ")


def short_query(goal: Goal) -> str:
    """Return search words that can be read off the instruction: no options, no price.

    Brackets and line breaks are left out, because they break the action.
    """
    text = goal.instruction_text.partition(_PRICE)[0].lower()
    if isinstance(goal.goal_options, Mapping) and goal.goal_options:
        name, value = next(iter(goal.goal_options.items()))
        text = text.rpartition(f" with {name}: {value}".lower())[0] or text
    for opening in _OPENINGS:
        text = text.removeprefix(opening)
    return _searchable(text)


def expert_action(shop: Shop, session: Session, goal: Goal, target: int) -> str | None:
    """Return the next action on the way to buying `target` with the goal's options.

    Args:
        shop: the shop.
        session: where the agent is.
        goal: what it wants.
        target: number of the product the goal was made from.

    Returns:
        None after the purchase, and where no search finds the product.
    """
    if session.page == "done":
        return None
    if session.item == target and session.page == "item":
        return _choose_or_buy(shop, session, goal)
    if session.item == target and session.page == "sub":
        return "click[< prev]"
    if session.page == "results" and target in session.results:
        return _towards(shop, session, target)
    query = _best_query(shop, goal, target)
    return None if query is None else f"search[{query}]"


def _towards(shop: Shop, session: Session, target: int) -> str:
    """Return the click on a product of the results, or on the way to its page."""
    if target in shop.shown(session):
        return f"click[{shop.catalogue.card(target)[0].lower()}]"
    wanted = session.results.index(target) // shop.page_size + 1
    return "click[next >]" if session.number < wanted else "click[< prev]"


def _choose_or_buy(shop: Shop, session: Session, goal: Goal) -> str:
    product = shop.catalogue.product(session.item or 0)
    chosen = dict(session.options)
    clickable = set(shop.acceptable(session))
    for name, value in _plan(product, goal, shop.catalogue.colors).items():
        if chosen.get(name) != value and f"click[{value}]" in clickable:
            return f"click[{value}]"
    return "click[buy now]"


def _plan(product: Product, goal: Goal, colors: tuple[str, ...]) -> dict[str, str]:
    """Return what to choose: option name to value, under the name that a click on it sets.

    The value a goal names need not match it: the reward reduces what is chosen to the first colour
    in it, and may find `tan` in `standard`.  Then another value that matches is taken, if any.
    """
    owner = {value: name for name, values in product.options.items() for value in values}
    wished = _named_values(goal)
    plan: dict[str, str] = {}
    for position in range(len(goal.goal_options)):
        if position in options_matched(goal, tuple(plan.values()), colors):
            continue
        named = [value for value in wished[position : position + 1] if value in owner]
        fitting = _fitting(named, goal, position, colors)
        if not fitting:
            fitting = _fitting(owner, goal, position, colors)
            fitting.sort(key=lambda value: (owner[value] in plan, len(value)))
        for value in [*fitting, *named][:1]:
            plan[owner[value]] = value
    return plan


def _fitting(
    values: Iterable[str], goal: Goal, position: int, colors: tuple[str, ...]
) -> list[str]:
    """Return the values that fulfil one of the goal's options."""
    return [value for value in values if position in options_matched(goal, (value,), colors)]


def _named_values(goal: Goal) -> tuple[str, ...]:
    """Return the option values of a synthetic goal; human ones paraphrase."""
    return tuple(goal.goal_options.values()) if isinstance(goal.goal_options, Mapping) else ()


def _best_query(shop: Shop, goal: Goal, target: int) -> str | None:
    """Return the first query that shows the product on the first page, else the best one."""
    best, best_rank = None, len(shop.catalogue)
    for query in _queries(shop, goal, target):
        results = shop.catalogue.search(query)
        rank = results.index(target) if target in results else best_rank
        if rank < best_rank:
            best, best_rank = query, rank
        if rank < shop.page_size:
            break
    return best


def _queries(shop: Shop, goal: Goal, target: int) -> list[str]:
    product = shop.catalogue.product(target)
    instruction = goal.instruction_text.partition(_PRICE)[0]
    title = product.title.lower()
    texts = (short_query(goal), instruction.lower(), title, f"{title} {product.document()[:500]}")
    return [query for text in texts if (query := _searchable(text))]


def _searchable(text: str) -> str:
    """Return a text on one line without what breaks an action."""
    return " ".join(text.replace("[", " ").replace("]", " ").split())
