"""Which tasks the protocols play."""

from __future__ import annotations

import pytest

from agentrl.errors import ConfigError
from agentrl.evaluation.protocol import apply_protocol
from agentrl.types import Task, TaskPanel


def panel(env_id: str, count: int) -> TaskPanel:
    return TaskPanel.of("p", (Task(id=str(i), env_id=env_id, seed=i) for i in range(count)))


def test_exact_is_the_panel_itself():
    whole = panel("agentrl/ALFWorld-v0", 5)
    assert apply_protocol(whole, "exact", draws=128, seed=0) is whole


@pytest.mark.parametrize("name", ["ALFWorld", "ScienceWorld"])
def test_compatible_draws_with_replacement_where_the_scripts_do(name: str):
    drawn = apply_protocol(panel(f"agentrl/{name}-v0", 20), "compatible", draws=128, seed=3)
    assert len(drawn) == 128
    assert 1 < len({task.seed for task in drawn}) <= 20
    assert all(task.id.split("~")[0] == str(task.seed) for task in drawn)


def test_compatible_draws_goals_of_webshop_once_each():
    whole = panel("agentrl/WebShop-v0", 200)
    drawn = apply_protocol(whole, "compatible", draws=128, seed=0)
    assert len({task.seed for task in drawn}) == 128
    with pytest.raises(ConfigError, match="`--draws` is 201"):
        apply_protocol(whole, "compatible", draws=201, seed=0)


def test_a_sample_is_fixed_by_its_seed_and_is_another_panel():
    whole = panel("agentrl/ALFWorld-v0", 50)
    first = apply_protocol(whole, "compatible", draws=20, seed=0)
    assert first == apply_protocol(whole, "compatible", draws=20, seed=0)
    other = apply_protocol(whole, "compatible", draws=20, seed=1)
    assert len({whole.hash, first.hash, other.hash}) == 3


def test_nothing_is_compatible_where_nothing_is_published():
    with pytest.raises(ConfigError, match="--protocol exact"):
        apply_protocol(panel("agentrl/TextWorld-v0", 5), "compatible", draws=2, seed=0)
