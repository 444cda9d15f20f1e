"""The commands that do not train."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
import yaml

from agentrl import algorithms
from agentrl.cli.main import COMMANDS
from agentrl.config import load_config
from tests.training.runs import TINY, write_config

CORRIDOR = "tests.envs.corridor:tests/Corridor-v0"
ERRANDS = "tests.evaluation.errands:tests/Errands-v0"


def test_environments_and_algorithms_are_listed(run_agentrl):
    status, output, _ = run_agentrl("envs")
    assert status == 0 and "agentrl/TextWorld-v0" in output
    status, output, _ = run_agentrl("algorithms")
    assert status == 0
    lines = [line for line in output.splitlines() if line.startswith("  ")]
    assert sorted(line.split()[0] for line in lines[::2]) == algorithms.names()
    assert all("slots: " in line for line in lines[1::2])


def test_the_settings_of_one_algorithm_are_shown_with_their_defaults(run_agentrl):
    status, output, _ = run_agentrl("algorithms", "grpo")
    assert status == 0
    assert output.startswith("GRPO: ") and "  clip_low = 0.2" in output
    assert "  regularisers     KLToReference(coefficient=0.04)" in output
    assert "Provenance: official vectors" in output


def test_the_effective_configuration_is_valid_and_complete(run_agentrl, tmp_path):
    path = write_config(tmp_path)
    status, output, _ = run_agentrl("train", str(path), "steps=7", "--print-config")
    assert status == 0
    (tmp_path / "again.yaml").write_text(output)
    assert load_config(tmp_path / "again.yaml") == load_config(path, ["steps=7"])
    assert output.splitlines()[-1].startswith("# Correction for the engine: none (the embedded ")
    assert yaml.safe_load(output)["rollout"]["group_size"] == TINY["rollout"]["group_size"]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "command",
    [[], ["eval", "gaia"], *([name] for name in COMMANDS)],
)
def test_help_is_there_for_every_command(run_agentrl, command):
    status, output, _ = run_agentrl(*command, "--help")
    assert status == 0 and output.startswith("usage: agentrl")
    assert all(len(line) <= 100 for line in output.splitlines())


def test_without_a_command_the_usage_is_shown(run_agentrl):
    status, _, error = run_agentrl()
    assert status == 2 and "usage: agentrl" in error


def play(run_agentrl, monkeypatch, text, *arguments):
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    return run_agentrl("play", *arguments)


def test_a_person_can_play_to_the_end(run_agentrl, monkeypatch):
    status, output, _ = play(
        run_agentrl, monkeypatch, "/actions\nwait\nwalk\nwalk\n", CORRIDOR, "--task", "1"
    )
    assert status == 0
    assert "(anything)" in output and "2 steps to go." in output
    assert "[step 2]" in output
    assert output.strip().endswith("won: reward 1, 3 steps")


def test_a_player_sees_score_reward_and_refusals(run_agentrl, monkeypatch):
    status, output, _ = play(run_agentrl, monkeypatch, "jump\nsit\ngo\n", ERRANDS, "--task", "0")
    assert status == 0
    assert "[step 1, score 0.5, not accepted]" in output and "[step 2, score 0.5]" in output
    assert output.strip().endswith("won: reward 1, score 1, 3 steps")


def test_what_an_environment_raises_is_one_line(run_agentrl, monkeypatch):
    status, _, error = play(run_agentrl, monkeypatch, "", ERRANDS, "--panel", "broken=[0]")
    assert status == 2
    assert error.strip() == (
        "agentrl: `reset` of the environment: RuntimeError: the errand is broken"
    )


@pytest.mark.parametrize("text", ["/quit\n", ""])
def test_a_person_can_leave(run_agentrl, monkeypatch, text):
    status, output, _ = play(run_agentrl, monkeypatch, text, CORRIDOR)
    assert status == 0 and "not won: reward 0, 0 steps" in output


def test_textworld_can_be_played(run_agentrl, monkeypatch, game_cache):
    panel = ["--panel", "count=1", "levels=[1]"]
    status, output, _ = play(
        run_agentrl, monkeypatch, "/actions\n/quit\n", "agentrl/TextWorld-v0", *panel
    )
    assert status == 0 and "> examine coin\n" in output


def test_light_commands_do_not_import_torch():
    code = (
        "import sys; from agentrl.cli import main; main(['envs']);"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)
