"""Golden files of retrieval: BM25 scores, and how passages are shown."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentrl.tools.base import ToolResult
from agentrl.tools.dialects.tags import SearchR1
from agentrl.tools.search.formats import search_r1, skyrl, verl
from agentrl.tools.search.hit import SearchHit, split_contents
from agentrl.tools.search.index import Bm25Index, Bm25Settings
from agentrl.tools.search.passages import Passage
from agentrl.tools.search.ranking import best
from agentrl.types import Continued


@functools.cache
def _index(documents: tuple[str, ...], settings: Bm25Settings) -> Bm25Index:
    passages = (Passage(id=str(i), contents=text) for i, text in enumerate(documents))
    # The files stay mapped after the folder is gone.
    with tempfile.TemporaryDirectory() as folder:
        return Bm25Index.build(passages, Path(folder) / "index", settings)


def bm25(inputs: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    settings = Bm25Settings(k1=inputs["k1"], b=inputs["b"], method=inputs["method"])
    scores = _index(tuple(config["docs"]), settings).scores(inputs["query"])
    return {"scores": scores.tolist(), "top5": best(scores, 5, above=0.0)}


def shown(inputs: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, str]:
    hits = []
    for result in inputs["results"]:
        title, text = split_contents(result["document"]["contents"])
        hits.append(SearchHit(title=title, snippet=text, extra=result["document"]))
    text = search_r1(hits)
    block = SearchR1().results([], [ToolResult(text=text)])
    assert isinstance(block, Continued)
    return {
        "searchr1": text,
        "searchr1_obs": block.text,
        "verl": verl(hits),
        "skyrl": skyrl(hits),
    }


FUNCTIONS = {"retrieval.bm25": bm25, "retrieval.format": shown}
TOLERANCES = {"retrieval.bm25": 2e-4}
