"""The pages on environments with tools and on mathematics say what is."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from agentrl.envs import env_class, make
from agentrl.envs.maths.judge import JUDGES
from agentrl.envs.maths.panels import DEFAULT_JUDGES
from agentrl.envs.maths.prompt import FORMS, PROMPTS
from agentrl.envs.questions.panel_choice import PanelChoice
from agentrl.envs.tooluse import deep_search, search_qa, tool_math
from agentrl.envs.tooluse.reward import REWARDS

PAGES = Path(__file__).parents[2] / "docs/environments"
TOOLS, MATHS = (PAGES / "tools.md").read_text(), (PAGES / "maths.md").read_text()


def test_the_example_of_an_own_environment_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (code,) = re.findall(r"^```python\n(.*?)^```$", TOOLS, flags=re.DOTALL | re.MULTILINE)
    (tmp_path / "capitals.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("capitals")
    cls = env_class("own/Capitals-v0")
    assert not {t.id for t in cls.panel("train")} & {t.id for t in cls.panel("heldout")}
    (task,) = cls.panel("train")
    env = make("own/Capitals-v0")
    _, info = env.reset(seed=task.seed, options=dict(task.options))
    for said, seen in (("capital: France", "Paris"), ("answer: Paris", "answer: Paris")):
        parsed = cls.prompt.parse(cls.prompt.answer(said), info)
        observation, reward, terminated, _, info = env.step(parsed.action)
        assert observation == seen
    assert (reward, terminated, info["won"]) == (1.0, True, True)


def options_of(page: str) -> set[str]:
    """Return the options that a page's tables describe."""
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def test_every_option_of_panels_is_described():
    chosen = set(PanelChoice.__dataclass_fields__)
    known = chosen | {*search_qa._GENERATED, *search_qa._OF_FILES, *deep_search._GENERATED}
    known |= {*deep_search._OF_FILES, *tool_math.ARITHMETIC, *tool_math._SHARED, "unverified"}
    assert known <= options_of(TOOLS)
    assert {*chosen, *tool_math.ARITHMETIC, "judge", "form_of_answer"} <= options_of(MATHS)
    assert all(f"`{name}`" in TOOLS for name in REWARDS)


def test_judges_forms_and_prompts_are_described():
    for name in (*JUDGES, *FORMS, *PROMPTS, *DEFAULT_JUDGES):
        assert f"`{name}`" in MATHS
