"""The original WebShop engine on a recorded workload; the other side of `environments.py`.

    PYTHON benchmarks/webshop_original.py CLONE WORKLOAD.json RESULT.json

PYTHON is an interpreter that has flask, beautifulsoup4, gym, numpy, rank_bm25, thefuzz, cleantext,
and tqdm; CLONE is a clone of princeton-nlp/WebShop.  Four of its imports are replaced, each in the
original's favour: Lucene (search results come ready from the workload, at no cost), spaCy (no
tagger runs), torch (used for images only) and rich (it prints, but draws random numbers).
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any


class ReadySearcher:
    """Answers queries from a table in place of Lucene."""

    hits: dict[str, list[str]] = {}  # noqa: RUF012

    def __init__(self, path: str) -> None:
        del path

    def search(self, query: str, k: int) -> list[Any]:
        """Return the first `k` hits."""
        return [SimpleNamespace(docid=asin) for asin in self.hits[query][:k]]

    def doc(self, asin: str) -> Any:
        """Return a document that holds nothing but its id."""
        return SimpleNamespace(raw=lambda: json.dumps({"id": asin}))


def replace_imports(clone: Path) -> None:
    """Put stand-ins for what cannot be installed, and skip the browser environment."""
    modules = {name: ModuleType(name) for name in ("spacy", "pyserini", "torch", "rich")}
    modules["pyserini.search"] = ModuleType("pyserini.search")
    modules["pyserini.search.lucene"] = ModuleType("pyserini.search.lucene")
    modules["pyserini.search.lucene"].LuceneSearcher = ReadySearcher  # type: ignore[attr-defined]
    modules["rich"].print = print  # type: ignore[attr-defined]
    modules["spacy"].load = lambda name: lambda text: []  # type: ignore[attr-defined]
    package = ModuleType("web_agent_site.envs")
    package.__path__ = [str(clone / "web_agent_site" / "envs")]
    modules["web_agent_site.envs"] = package
    sys.modules.update(modules)
    sys.path.insert(0, str(clone))


def texts(env: Any) -> list[str]:
    """Return the current page in both text forms."""
    both = []
    for env.observation_mode in ("text_rich", "text"):
        both.append(env.observation)
    return both[::-1]


def main() -> None:
    clone, workload_path, result_path = map(Path, sys.argv[1:])
    workload = json.loads(workload_path.read_text())
    ReadySearcher.hits = workload["hits"]
    replace_imports(clone)
    from web_agent_site import utils

    utils.DEFAULT_ATTR_PATH = workload["attributes"]
    utils.HUMAN_ATTR_PATH = workload["human"]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        from web_agent_site.envs.web_agent_text_env import WebAgentTextEnv, app

        random.seed(workload["price_seed"])
        started = time.process_time()
        context = app.test_request_context()
        context.push()
        env = WebAgentTextEnv(
            observation_mode="text", file_path=workload["products"], num_products=1000
        )
        load_seconds = time.process_time() - started
        pages, seconds, resets, steps = [], 0.0, 0.0, 0
        for episode in workload["episodes"]:
            started = time.process_time()
            env.reset(session=episode["goal"])
            available = env.get_available_actions()
            resets += time.process_time() - started
            pages.append([*texts(env), available["clickables"], 0.0])
            for action in episode["actions"]:
                started = time.process_time()
                _, reward, _, _ = env.step(action)
                available = env.get_available_actions()
                seconds += time.process_time() - started
                steps += 1
                pages.append([*texts(env), available["clickables"], reward])
    result = {
        "load_seconds": load_seconds,
        "reset_seconds": resets / len(workload["episodes"]),
        "step_seconds": seconds / steps,
        "steps": steps,
        "pages": pages,
    }
    result_path.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
