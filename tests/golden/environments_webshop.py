"""Official WebShop vectors, compared with our engine: transcripts, goals, rewards, searches."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agentrl.envs.webshop.analysis import analyze
from agentrl.envs.webshop.catalogue import Catalogue
from agentrl.envs.webshop.goals import Goal, GoalSet
from agentrl.envs.webshop.locate import published_catalogue
from agentrl.envs.webshop.pages import Session, Shop
from agentrl.envs.webshop.render import pieces, rich_text, simple_text
from agentrl.envs.webshop.reward import Judgement, judge

TOLERANCE = 1e-9


def check(path: Path, data: Path) -> list[str]:
    """Return every mismatch between a golden file and our engine; empty if there is none.

    Args:
        path: one of `webshop.transcripts.json`, `.goals.json`, `.reward.json`, `.search.json`.
        data: the folder of the 1,000-product set, or the folder that holds it as `webshop`.
    """
    content = json.loads(path.read_text())
    folder = data / "webshop" if (data / "webshop").is_dir() else data
    meta = content["meta"]
    catalogue = published_catalogue("1k", str(folder))
    goals = catalogue.goals(
        bool(meta["human_goals"]), meta["python_random_seed_before_load"], meta["goal_shuffle_seed"]
    )
    checks = {
        "transcripts": _transcripts,
        "goals_first40": _goals,
        "cases": _rewards,
        "queries": _searches,
    }
    run = next((checks[key] for key in checks if key in content), None)
    if run is None:
        return [f"{path.name}: none of the known formats"]
    return [f"{path.name}: {mismatch}" for mismatch in run(content, catalogue, goals)]


def _compare(where: str, found: Any, expected: Any) -> Iterator[str]:
    numbers = isinstance(expected, float) and isinstance(found, int | float)
    equal = abs(found - expected) <= TOLERANCE if numbers else found == expected
    if not equal:
        yield f"{where}: {str(found)[:300]!r} instead of {str(expected)[:300]!r}"


def _plain(goal: Goal) -> dict[str, Any]:
    options = goal.goal_options
    return {
        "asin": goal.asin,
        "category": goal.category,
        "query": goal.query,
        "name": goal.name,
        "product_category": goal.product_category,
        "instruction_text": goal.instruction_text,
        "attributes": list(goal.attributes),
        "price_upper": goal.price_upper,
        "goal_options": list(options) if isinstance(options, tuple) else dict(options),
        "weight": goal.weight,
    }


def _goal(values: dict[str, Any]) -> Goal:
    options = values["goal_options"]
    return Goal(
        **{
            **values,
            "attributes": tuple(values["attributes"]),
            "goal_options": tuple(options) if isinstance(options, list) else options,
        }
    )


def _compare_goal(where: str, goal: Goal, expected: dict[str, Any]) -> Iterator[str]:
    plain = _plain(goal)
    for key, value in expected.items():
        yield from _compare(f"{where} {key}", plain[key], value)


def _transcripts(content: Any, catalogue: Catalogue, goals: GoalSet) -> Iterator[str]:
    for transcript in content["transcripts"]:
        name = f"goal {transcript['goal_index']} {transcript['script']}"
        goal = goals[transcript["goal_index"]]
        yield from _compare_goal(name, goal, transcript["goal"])
        yield from _play(name, transcript, catalogue, goals, goal)


def _play(
    name: str, transcript: Any, catalogue: Catalogue, goals: GoalSet, goal: Goal
) -> Iterator[str]:
    shop = Shop(catalogue)
    session, reward = Session(), 0.0
    judgement: Judgement | None = None
    for number, step in enumerate(transcript["steps"]):
        where = f"{name} step {number} {step['action']!r}"
        if step["action"] is not None:
            before, session = session, shop.act(session, step["action"]) or session
            if session.page == "done" and before.page != "done" and session.item is not None:
                judgement = judge(
                    catalogue.product(session.item),
                    goal,
                    goals.actual_price(session.item),
                    dict(session.options),
                    catalogue.colors,
                )
                reward = judgement.reward
            yield from _compare(f"{where} reward", reward, step["reward"])
            yield from _compare(f"{where} done", session.page == "done", step["done"])
        page = pieces(session, shop, goal.instruction_text, reward)
        yield from _compare(f"{where} text", simple_text(page), step["text"])
        yield from _compare(f"{where} text_rich", rich_text(page, session, shop), step["text_rich"])
        yield from _compare(f"{where} clickables", shop.clickables(session), step["clickables"])
        yield from _compare(
            f"{where} has_search_bar", session.page == "home", step["has_search_bar"]
        )
    yield from _final(name, transcript, session, catalogue, goals, judgement)


def _final(
    name: str,
    transcript: Any,
    session: Session,
    catalogue: Catalogue,
    goals: GoalSet,
    judgement: Judgement | None,
) -> Iterator[str]:
    item = session.item
    asin = None if item is None else catalogue.product(item).asin
    price = None if item is None else goals.actual_price(item)
    # A transcript that does not end with a purchase names the product looked at last.
    if session.page == "done":
        yield from _compare(f"{name} final_asin", asin, transcript["final_asin"])
        yield from _compare(f"{name} price", price, transcript["price"])
    yield from _compare(f"{name} options", dict(session.options), transcript["final_options"])
    expected = transcript["reward_info"]
    if expected is not None and judgement is not None:
        for key in ("r_type", "r_att", "r_option", "r_price", "query_match", "category_match"):
            if key in expected:
                yield from _compare(f"{name} {key}", getattr(judgement, key), expected[key])


def _goals(content: Any, catalogue: Catalogue, goals: GoalSet) -> Iterator[str]:
    every = [goals[index] for index in range(len(goals))]
    yield from _compare("number of goals", len(every), content["meta"]["num_goals"])
    yield from _compare("number of products", len(catalogue), content["meta"]["num_products"])
    texts = "\n".join(goal.instruction_text for goal in every)
    asins = "\n".join(goal.asin for goal in every)
    for key, text in (("instruction_sha256", texts), ("asin_sha256", asins)):
        yield from _compare(key, hashlib.sha256(text.encode()).hexdigest(), content[key])
    for index, expected in enumerate(content["goals_first40"]):
        yield from _compare_goal(f"goal {index}", every[index], expected)
    for asin, price in content["sampled_prices"].items():
        number = catalogue.number(asin)
        assert number is not None
        yield from _compare(f"price of {asin}", goals.actual_price(number), price)
    for asin, tag in content["price_tag_examples"].items():
        number = catalogue.number(asin)
        assert number is not None
        yield from _compare(f"price tag of {asin}", catalogue.product(number).price_tag, tag)


def _rewards(content: Any, catalogue: Catalogue, goals: GoalSet) -> Iterator[str]:
    for position, case in enumerate(content["cases"]):
        number = catalogue.number(case["asin"])
        assert number is not None
        goal = _goal(case["goal"])
        result = judge(
            catalogue.product(number), goal, case["price"], case["options"], catalogue.colors
        )
        wishes = len(goal.attributes) + len(goal.goal_options) + 1
        met = result.attributes_met + result.options_met + result.r_price
        found = {
            "num_attr": result.attributes_met,
            "num_option": result.options_met,
            "r_price": result.r_price,
            "query_match": result.query_match,
            "category_match": result.category_match,
            "base": met / wishes,
            "r_type": result.r_type,
            "reward": result.reward,
        }
        for key, value in found.items():
            if case.get(key) is not None:
                yield from _compare(f"case {position} {case['asin']} {key}", value, case[key])


def _searches(content: Any, catalogue: Catalogue, goals: GoalSet) -> Iterator[str]:
    for key, value in (("avgdl", catalogue.mean_length), ("N", len(catalogue))):
        yield from _compare(key, value, content["bm25"][key])
    for entry in content["analysis"]:
        yield from _compare(f"terms of {entry['text']!r}", analyze(entry["text"]), entry["terms"])
    for entry in content["queries"]:
        where = f"query {entry['query']!r}"
        yield from _compare(f"{where} terms", analyze(entry["query"]), entry["terms"])
        hits = catalogue.index.search(entry["query"])
        yield from _compare(f"{where} total", len(hits), entry["total"])
        found = [catalogue.product(document).asin for document, _ in hits]
        expected = [asin for asin, _ in entry["hits"]]
        yield from _compare(f"{where} order", found[: len(expected)], expected)
        for (asin, score), (_, ours) in zip(entry["hits"], hits, strict=False):
            if abs(score - ours) > 1e-4:
                yield f"{where}: {asin} scores {ours} instead of {score}"
