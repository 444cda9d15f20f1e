"""Our WebShop beside the original engine: the same random visits, page by page.

    python benchmarks/webshop_comparison.py CLONE PYTHON [--data DIR] [--episodes 60] [--out FILE]

CLONE is a clone of princeton-nlp/WebShop, PYTHON an interpreter that can run it (see
`webshop_original.py`, which says what is replaced there).  Both sides play the same actions over
the 1,000-product set; every page is compared in both text forms, with what can be clicked and the
reward.  The original runs without its noun tagger, so rewards of purchases whose sort only the
tagger can judge may differ; they are counted apart.  Times are CPU milliseconds of one process for
an action, the text after it and what can then be clicked; only ours contain the search.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import random
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from agentrl.envs.webshop.catalogue import Catalogue
from agentrl.envs.webshop.goals import Goal
from agentrl.envs.webshop.locate import published_catalogue
from agentrl.envs.webshop.pages import Session, Shop
from agentrl.envs.webshop.render import pieces, rich_text, simple_text
from agentrl.envs.webshop.reward import judge

PRICE_SEED, GOAL_SEED = 42, 233
LONGEST_VISIT = 25
ODD = ("click[search]", "click[nothing]", "foo", "search", "click[Buy Now", "CLICK[buy now]",
       "click[BACK to Search]", "search[]", "click[]")  # fmt: skip
Page = list[Any]


class Visit:
    """A session in our shop, and what it shows."""

    def __init__(self, shop: Shop, goal: Goal, actual_price: Any) -> None:
        self.shop, self.goal, self.actual_price = shop, goal, actual_price
        self.session, self.reward = Session(), 0.0

    def step(self, action: str) -> None:
        """Act; a purchase is judged."""
        self.session = self.shop.act(self.session, action) or self.session
        if self.session.page == "done":
            assert self.session.item is not None
            self.reward = judge(
                self.shop.catalogue.product(self.session.item),
                self.goal,
                self.actual_price(self.session.item),
                dict(self.session.options),
                self.shop.catalogue.colors,
            ).reward

    def text(self) -> str:
        """Return what an agent is shown."""
        page = pieces(self.session, self.shop, self.goal.instruction_text, self.reward)
        return simple_text(page)

    def page(self) -> Page:
        """Return all that is compared."""
        page = pieces(self.session, self.shop, self.goal.instruction_text, self.reward)
        rich = rich_text(page, self.session, self.shop)
        return [simple_text(page), rich, self.shop.clickables(self.session), self.reward]


def random_action(visit: Visit, words: list[str], rng: random.Random) -> str:
    """Return a search, a click, or now and then nonsense."""
    draw, page = rng.random(), visit.session.page
    if page == "home" or draw < 0.1:
        goal = visit.goal
        two = " ".join(rng.sample(words, 2))
        queries = [goal.query, goal.name.lower()[:60], two, f"{goal.query} {two}", "a  b", "the"]
        return f"search[{rng.choice(queries)}]"
    if draw < 0.14:
        return rng.choice(ODD)
    clicks = visit.shop.clickables(visit.session)
    if page == "item" and draw < 0.9:
        clicks = [click for click in clicks if click not in ("buy now", "back to search")]
    return f"click[{rng.choice(clicks)}]"


def play(catalogue: Catalogue, count: int, seed: int) -> tuple[dict[str, Any], list[Page], float]:
    """Play random visits; return the workload for the original, our pages and seconds a step."""
    rng, shop = random.Random(seed), Shop(catalogue)
    goals = catalogue.goals(False, PRICE_SEED, GOAL_SEED)
    words = [word for product in catalogue.products() for word in product.title.lower().split()]
    episodes, pages, queries, seconds, steps = [], [], set(), 0.0, 0
    for _ in range(count):
        number = rng.randrange(len(goals))
        visit, actions = Visit(shop, goals[number], goals.actual_price), []
        pages.append(visit.page())
        while len(actions) < LONGEST_VISIT and visit.session.page != "done":
            actions.append(random_action(visit, words, rng))
            started = time.process_time()
            visit.step(actions[-1])
            visit.text()
            shop.clickables(visit.session)
            seconds += time.process_time() - started
            pages.append(visit.page())
            queries.add(" ".join(visit.session.keywords))
        steps += len(actions)
        episodes.append({"goal": number, "actions": actions})
    found = {q: [catalogue.card(n)[0] for n in catalogue.search(q)] for q in sorted(queries)}
    return {"episodes": episodes, "hits": found, "price_seed": PRICE_SEED}, pages, seconds / steps


def write_sources(data: Path, folder: Path) -> dict[str, str]:
    """Unpack the published files; the original insists on pictures, which ours do not need."""
    paths = {}
    names = {"products": "items_shuffle", "attributes": "items_ins_v2", "human": "items_human_ins"}
    for key, name in names.items():
        content = json.loads(gzip.decompress((data / f"{name}_1000.json.gz").read_bytes()))
        if key == "products":
            content = [{**product, "images": [""]} for product in content]
        path = folder / f"{name}.json"
        path.write_text(json.dumps(content))
        paths[key] = str(path)
    return paths


def compare(ours: list[Page], theirs: list[Page]) -> Counter[str]:
    """Count the pages that differ, purchases whose reward the tagger decides apart."""
    counts: Counter[str] = Counter(pages=len(ours))
    for mine, other in zip(ours, theirs, strict=True):
        if mine[0].startswith("Thank you") and mine[3] != other[3]:
            counts["purchases judged by a tagger"] += 1
        elif mine != other:
            counts["different pages"] += 1
            print("ours:", mine, "\noriginal:", other)
    counts.setdefault("different pages", 0)
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clone", type=Path)
    parser.add_argument("python", type=Path)
    shared = os.environ.get("AGENTRL_SHARED", "../shared")
    parser.add_argument("--data", type=Path, default=Path(shared) / "data" / "webshop")
    parser.add_argument("--episodes", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    catalogue = published_catalogue("1k", str(args.data))
    workload, pages, our_seconds = play(catalogue, args.episodes, args.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workload |= write_sources(args.data, folder)
        (folder / "workload.json").write_text(json.dumps(workload))
        script = Path(__file__).with_name("webshop_original.py")
        files = [folder / "workload.json", folder / "result.json"]
        subprocess.run([args.python, script, args.clone, *files], check=True)
        original = json.loads((folder / "result.json").read_text())
    ours = 1000 * our_seconds
    theirs = 1000 * original["step_seconds"]
    result = {
        **compare(pages, original.pop("pages")),
        "steps": original["steps"],
        "our_step_ms": ours,
        "original_step_ms": theirs,
        "ratio": theirs / ours,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.python_version()}",
    }
    print(json.dumps(result, indent=1))
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
