"""The page of methods is generated, and the page on adding one shows a method that works."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import pytest
import torch

from agentrl.algorithms import Normaliser, estimate_advantages, get, names, policy_loss, registry
from agentrl.algorithms.describe import composition, document, word

DOCS = Path(__file__).parents[2] / "docs" / "algorithms"


def test_the_page_of_methods_is_what_the_script_writes():
    page = (DOCS / "methods.md").read_text()
    hint = "run: python -m agentrl.algorithms.describe > docs/algorithms/methods.md"
    assert page == document(), hint


def test_a_composition_names_what_differs_from_the_defaults():
    parts = dict(composition(get("gspo", clip_low=0.1)))
    assert parts["advantage"] == "GroupRelative()"
    assert parts["bounds"] == "ConstantBounds(clip_low=0.1, clip_high=0.0004)"
    assert "surrogate" not in parts
    assert word(get("gspo").aggregation) == "Aggregation(mode=seq-mean-token-mean)"


@pytest.mark.parametrize("name", names())
def test_every_method_is_on_the_page_of_its_family_and_says_where_it_is_from(name):
    known = registry.card(name)
    assert known is not None
    page = (DOCS / f"{known.family}.md").read_text()
    assert re.search(rf"`{name}`|### {name}\b", page), f"docs/algorithms/{known.family}.md"


def test_the_method_on_the_page_takes_thirty_lines_and_works(make_batch, evaluate, monkeypatch):
    monkeypatch.setattr(registry, "_factories", dict(registry._factories))
    text = (DOCS / "adding.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 30
    module = types.ModuleType("example")
    monkeypatch.setitem(sys.modules, "example", module)
    exec(code, module.__dict__)
    algorithm = get("unsure_grpo", strength=0.5)
    batch = estimate_advantages(algorithm, make_batch())
    value, _ = evaluate(algorithm, batch)
    assert torch.isfinite(value)
    plain, _ = evaluate(get("unsure_grpo", strength=0.0), batch)
    base = get("grpo", clip_high=0.28, kl_coefficient=0.0)
    torch.testing.assert_close(plain, evaluate(base, batch)[0])
    loss = policy_loss(algorithm, batch, Normaliser.of(batch.mask_BT))
    assert 0.5 < loss.metrics["token_weight"].value < 1
