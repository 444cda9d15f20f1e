"""Which correction a run gets: by default, by its algorithm, by its settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agentrl import algorithms
from agentrl.algorithms.behaviour.presets import PRESETS
from agentrl.assembly import build_algorithm, correction_of
from agentrl.config import RunConfig, load_config
from agentrl.config.schema import CORRECTIONS
from agentrl.correction import DEFAULT
from agentrl.errors import ConfigError, UnknownNameError

OWN = {"decoupled_ppo"}
NONE = {"bupo": "`policy_view` takes the old policy", "hapo": "chooses temperatures on purpose"}


def config_of(name: str, kind: str = "vllm", correction: str = "auto", **options: Any) -> RunConfig:
    """A run with an engine of a kind that has weights of its own, unless it is `embedded`."""
    config = load_config(None, [f"algorithm.name={name}"])
    return replace(
        config,
        algorithm=replace(config.algorithm, options=options),
        engine=replace(config.engine, kind=kind, correction=correction),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("name", algorithms.names())
def test_an_engine_that_shares_the_weights_needs_no_correction(name: str) -> None:
    found = correction_of(config_of(name, kind="embedded"))
    assert found.algorithm.behaviour == algorithms.get(name).behaviour
    assert found.name == ("the algorithm's own" if name in OWN else "none")


@pytest.mark.parametrize("name", algorithms.names())
def test_every_algorithm_has_its_default_for_another_engine(name: str) -> None:
    found, plain = correction_of(config_of(name)), algorithms.get(name)
    if name in OWN or name in NONE:
        assert found.algorithm.behaviour == plain.behaviour
        assert NONE.get(name, "weights of its own") in found.reason
        assert found.name == ("none" if name in NONE else "the algorithm's own")
        return
    assert found.name == DEFAULT
    assert found.algorithm.behaviour == algorithms.get(name, behaviour=DEFAULT).behaviour != ()
    without = replace(found.algorithm, behaviour=(), rollout=plain.rollout)
    assert without == plain
    assert "\n" not in str(found)


def test_what_the_algorithms_option_says_is_kept() -> None:
    found = correction_of(config_of("grpo", behaviour="icepop"))
    assert found.algorithm.behaviour == PRESETS["icepop"]
    assert str(found) == "Correction for the engine: icepop (`algorithm.options.behaviour`)"
    assert correction_of(config_of("grpo", behaviour="none")).algorithm.behaviour == ()


def test_the_settings_know_every_preset():
    assert set(CORRECTIONS) == set(PRESETS)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("kind", ["embedded", "vllm"])
def test_a_setting_wins_over_the_default(kind: str, preset: str) -> None:
    found = correction_of(config_of("grpo", kind, preset))
    assert found.algorithm.behaviour == PRESETS[preset]
    assert str(found) == f"Correction for the engine: {preset} (`engine.correction`)"


@pytest.mark.parametrize("setting", ["none", "token-tis"])
def test_two_settings_for_the_same_weights_are_one_error(setting: str) -> None:
    with pytest.raises(ConfigError, match=r"`engine.correction`.*`algorithm.options.behaviour`"):
        build_algorithm(config_of("grpo", correction=setting, behaviour="icepop"))


def test_asking_for_weights_where_none_are_taken_is_an_error() -> None:
    with pytest.raises(ConfigError, match="leave `behaviour` empty"):
        build_algorithm(config_of("bupo", correction="token-tis"))


def test_an_unknown_correction_names_the_nearest_one() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'token-tis'"):
        load_config(None, ["engine.correction=tokentis"])


@pytest.mark.parametrize("value", ["-1", "loud"])
def test_a_wrong_limit_is_one_error(value: str) -> None:
    with pytest.raises(ConfigError, match=r"`engine\.mismatch_alarm`"):
        load_config(None, [f"engine.mismatch_alarm={value}"])


def test_the_group_size_still_reaches_the_strategy() -> None:
    config = config_of("arpo")
    config = replace(config, rollout=replace(config.rollout, group_size=8))
    assert build_algorithm(config).rollout.rollouts == 8  # type: ignore[union-attr]
