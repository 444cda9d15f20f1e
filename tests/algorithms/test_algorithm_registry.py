"""Algorithms by name: paper settings, overrides, and errors that say what to do."""

from __future__ import annotations

import pytest

from agentrl import algorithms
from agentrl.algorithms import get, listing, names, register, registry
from agentrl.algorithms.aggregation import Aggregation
from agentrl.algorithms.behaviour.weights import BehaviourWeight
from agentrl.algorithms.ratios.bounds import ConstantBounds
from agentrl.algorithms.ratios.kinds import UnitRatio
from agentrl.errors import ConfigError, UnknownNameError


def test_the_public_names_are_these():
    assert sorted(algorithms.__all__) == [
        "Algorithm", "Batch", "Loss", "Metric", "Normaliser", "Stat", "combine",
        "estimate_advantages", "get", "listing", "names", "policy_loss", "prepare", "register",
        "report", "settings",
    ]  # fmt: skip


@pytest.mark.parametrize("name", names())
def test_every_algorithm_is_named_after_itself_and_described_in_one_line(name):
    assert get(name).name == name
    assert dict(listing())[name].endswith((".", "!"))


def test_defaults_are_the_papers():
    dapo = get("dapo")
    assert dapo.bounds == ConstantBounds(0.2, 0.28)
    assert dapo.aggregation == Aggregation("token-mean")
    assert dapo.regularisers == ()
    assert get("grpo").regularisers[0].coefficient == 0.04
    assert get("gspo").bounds == ConstantBounds(3e-4, 4e-4)


def test_settings_and_slots_can_be_overridden():
    algorithm = get("grpo", clip_high=0.28, behaviour="token-tis", aggregation="token-mean")
    assert algorithm.bounds == ConstantBounds(0.2, 0.28)
    assert algorithm.behaviour == (BehaviourWeight(cap=2.0),)
    assert algorithm.aggregation == Aggregation("token-mean")


def test_unknown_algorithm_names_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'grpo'"):
        get("gprpo")


def test_unknown_setting_names_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'clip_high'"):
        get("grpo", clip_hi=0.2)


@pytest.mark.parametrize(
    ("name", "overrides", "setting"),
    [
        ("grpo", {"clip_low": -0.1}, "clip_low"),
        ("grpo", {"clip_low": 1.5}, "clip_low"),
        ("grpo", {"clip_high": "wide"}, "clip_high"),
        ("grpo", {"dual_clip": 1.0}, "dual_clip"),
        ("grpo", {"kl_coefficient": float("nan")}, "kl_coefficient"),
        ("grpo", {"kl_kind": "k9"}, "kl_kind"),
        ("grpo", {"aggregation": "mean"}, "aggregation"),
        ("ppo", {"lam": 2.0}, "lam"),
        ("ppo", {"value_clip": 0.0}, "value_clip"),
        ("dapo", {"overlong": "cut"}, "overlong"),
        ("dapo", {"overlong_max_tokens": 10}, "overlong_buffer_tokens"),
        ("dr_grpo", {"length": 0}, "length"),
    ],
)
def test_a_value_out_of_range_names_algorithm_and_setting(name, overrides, setting):
    with pytest.raises(ConfigError, match=setting) as caught:
        get(name, **overrides)
    assert name in str(caught.value)


def test_behaviour_weights_can_be_spelled_out():
    algorithm = get("grpo", behaviour={"level": "sequence", "action": "mask", "cap": 3.0})
    assert algorithm.behaviour == (BehaviourWeight(level="sequence", action="mask", cap=3.0),)
    with pytest.raises(UnknownNameError, match="Did you mean 'level'"):
        get("grpo", behaviour={"levle": "token"})
    with pytest.raises(ConfigError, match=r"behaviour.cap"):
        get("grpo", behaviour={"cap": 0})


def test_unknown_behaviour_preset_names_the_nearest():
    with pytest.raises(UnknownNameError, match="token-tis"):
        get("grpo", behaviour="token-tiss")


def test_a_surrogate_that_could_not_learn_is_rejected():
    with pytest.raises(ConfigError, match="nothing would be learned"):
        get("grpo", ratio=UnitRatio())


def test_a_name_can_be_added_once(monkeypatch):
    monkeypatch.setattr(registry, "_factories", dict(registry._factories))
    register("mine", "agentrl.algorithms.methods.grpo:dr_grpo")
    assert get("mine", clip_low=0.1).bounds == ConstantBounds(0.1, 0.2)
    with pytest.raises(ConfigError, match="registered already"):
        register("mine", "agentrl.algorithms.methods.grpo:grpo")
