import pytest

from agentrl.config import RunConfig, load_config, save_config
from agentrl.config.build import build
from agentrl.errors import ConfigError, UnknownNameError


def test_an_empty_configuration_is_the_defaults():
    assert load_config(None) == RunConfig()


def test_overrides_win_over_the_file_and_keep_their_siblings(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("rollout: {group_size: 4, max_turns: 7}\n")
    config = load_config(path, ["rollout.group_size=16", "algorithm.options.beta=0.1"])
    assert config.rollout.group_size == 16
    assert config.rollout.max_turns == 7
    assert config.algorithm.options == {"beta": 0.1}


def test_the_effective_configuration_reads_back_unchanged(tmp_path):
    config = load_config(None, ["steps=3", "environment.train.levels=[1, 2]", "model.path=null"])
    save_config(config, tmp_path / "config.yaml")
    assert load_config(tmp_path / "config.yaml") == config


@pytest.mark.parametrize(
    ("override", "nearest"),
    [
        ("rollout.group_sise=4", "rollout.group_size"),
        ("stepps=3", "steps"),
        ("modle.path=x", "model"),
    ],
)
def test_an_unknown_key_names_the_nearest_one(override, nearest):
    with pytest.raises(UnknownNameError, match=f"Did you mean '{nearest}'"):
        load_config(None, [override])


@pytest.mark.parametrize(
    "override",
    [
        "rollout.group_size=-1",
        "rollout.group_size=2.5",
        "rollout.group_size=true",
        "rollout.temperature=hot",
        "rollout.top_p=1.5",
        "engine.kind=unknown",
        "environment.train=3",
        "warmup.noise=-0.1",
        "model.hidden_size=33",
        "rollout=3",
    ],
)
def test_a_wrong_value_is_one_error_that_names_the_setting(override):
    setting = override.partition("=")[0]
    with pytest.raises(ConfigError, match=f"`{setting}`"):
        load_config(None, [override])


def test_numbers_in_scientific_notation_are_numbers():
    assert load_config(None, ["learner.learning_rate=1e-4"]).learner.learning_rate == 1e-4


def test_a_missing_or_malformed_file_is_one_clear_error(tmp_path):
    with pytest.raises(ConfigError, match="no configuration file"):
        load_config(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("a: [1")
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_config(tmp_path / "bad.yaml")
    with pytest.raises(ConfigError, match=r"section\.key=value"):
        load_config(None, ["group_size"])


def test_a_run_has_fewer_than_a_hundred_settings():
    def count(value):
        fields = getattr(value, "__dataclass_fields__", None)
        return sum(count(getattr(value, name)) for name in fields) if fields else 1

    assert count(build(RunConfig, {})) < 100
