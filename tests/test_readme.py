"""What README.md tells a newcomer to type works."""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from agentrl import algorithms, envs
from agentrl.cli.main import COMMANDS
from agentrl.config import load_config

REPOSITORY = Path(__file__).resolve().parents[1]
README = (REPOSITORY / "README.md").read_text()


def block(language: str, part: str) -> str:
    """Return the code block of a language that contains `part`."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
    (found,) = [text for name, text in blocks if name == language and part in text]
    return found


def run_agentrl(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agentrl.cli.main", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture
def own_environment(tmp_path: Path) -> Path:
    (tmp_path / "line.py").write_text(block("python", "class Line"))
    (tmp_path / "line.yaml").write_text(block("yaml", "line:own/Line-v0"))
    return tmp_path


@pytest.mark.slow
def test_the_own_environment_is_learned(own_environment: Path):
    run = run_agentrl(own_environment, "train", "line.yaml")
    assert run.returncode == 0, run.stderr
    summary = json.loads(run.stdout.splitlines()[-1])
    assert summary == json.loads((own_environment / "runs/line/summary.json").read_text())
    assert summary["train_success_warm"] < 0.7 < 0.85 < summary["train_success"]


def test_make_targets_exist():
    makefile = (REPOSITORY / "Makefile").read_text()
    targets = set(re.findall(r"^(\w+):", makefile, flags=re.MULTILINE))
    assert (
        set(re.findall(r"\bmake (train|test|check|golden|bench|setup|clean)\b", README)) <= targets
    )
    assert {"setup", "train", "test", "check", "golden", "bench", "clean"} <= targets


def test_commands_are_all_there_are():
    overview = block("", "agentrl algorithms")
    assert set(re.findall(r"^agentrl ([\w-]+)", overview, flags=re.MULTILINE)) == set(COMMANDS)


def test_scripts_it_names_exist():
    scripts = re.findall(r"python (\S+\.py)", README)
    assert scripts
    assert [script for script in scripts if not (REPOSITORY / script).is_file()] == []


def test_tables_count_the_algorithms_and_name_every_environment():
    row = next(line for line in README.splitlines() if line.startswith("| algorithms"))
    assert f"[{len(algorithms.names())} methods]" in row
    assert set(re.findall(r"`(\w+)`", row)) <= set(algorithms.names())
    row = next(line for line in README.splitlines() if line.startswith("| environments"))
    assert {name for name, _ in envs.listing() if name.startswith("agentrl/")} == set(
        re.findall(r"agentrl/\w+-v\d+", row)
    )


def test_the_example_of_a_hugging_face_model_is_a_valid_configuration():
    text = block("", "model.path=").replace("\\\n", " ").split()
    assert text[:2] == ["agentrl", "train"]
    config = load_config(REPOSITORY / text[2], text[3:])
    assert config.model.path == "Qwen/Qwen2.5-0.5B-Instruct"
    env_class = envs.env_class(config.environment.id)
    assert config.environment.prompt in env_class.prompts


def test_what_it_says_of_the_quickstart_is_in_its_configuration():
    text = " ".join(README.split())
    quickstart = yaml.safe_load((REPOSITORY / "configs/quickstart.yaml").read_text())
    games = [quickstart["environment"][split]["count"] for split in ("train", "heldout")]
    assert f"makes {sum(games)} mazes" in text
    assert f"plays {games[1]} mazes" in text
    assert f"step-{quickstart['steps']:06d}" in text
    assert quickstart["rollout"]["deterministic"] is True


ARMS = ("branching", "independent")


def results(subject: str) -> dict[str, Any]:
    """Return the newest committed result of a benchmark."""
    path = sorted((REPOSITORY / "benchmarks" / "results").glob(f"{subject}_cpu_*.json"))[-1]
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def row(start: str) -> str:
    (line,) = [line for line in README.splitlines() if line.startswith(f"| {start}")]
    return line


def test_measured_ratios_are_those_of_the_recorded_runs():
    speeds = {
        (line["load"], line["side"]): line["sampled_tokens_per_cpu_second"]
        for line in results("engine_embedded")["rows"]
    }
    for load, start in (("group", "rollout against `generate`"), ("quickstart", "the same, 64")):
        ratio = speeds[load, "embedded engine"] / speeds[load, "transformers generate"]
        assert f"| {ratio:.1f}x " in row(start)
    engines = results("engines")
    ratios = [
        f"{line['times_vllm'][1]:.1f}x" for line in engines["rows"] if line["side"] == "embedded"
    ]
    assert f"| {', '.join(ratios)} " in row("embedded engine against vLLM")
    branches = next(line for line in engines["branches"] if line["side"] == "vllm")
    found = f"| {100 * branches['found_share']:.0f} %, {branches['times'][1]:.0f}x |"
    assert found in row("branches in vLLM")
    trl = results("trl_comparison")["agentrl_is_times_as_fast"]
    assert f"| {trl['rollout']['median']:.1f}x " in row("rollout against TRL")
    assert f"| {trl['train']['median']:.1f}x " in row("training against the same")
    branching = results("trl_branching")["agentrl_is_times_as_fast"]
    shown = f"| {branching['rollout']['median']:.1f}x, {branching['train']['median']:.1f}x |"
    assert shown in row("the same where episodes branch")


def test_measured_gains_of_trees_are_those_of_the_recorded_runs():
    cases = {case["case"]: case for case in results("tree_training")["cases"]}
    starts = {
        "branches": "training on the tree against separate",
        "group": "the same, group of 8",
        "wide": "the same, 8 leaves",
    }
    for name, start in starts.items():
        gain, sharing = cases[name]["gains"]["packed"], cases[name]["sharing"]
        assert f"| {gain['speed_up']:.1f}x at {sharing:.1f}x sharing" in row(start)
    ideal = cases["branches"]["gains"]["packed"]["efficiency"]
    assert f"{100 * ideal:.0f} % of the ideal" in row(starts["branches"])
    head = results("logprob_memory")["over_lean"]
    shown = f"1/{1 / head['memory']:.0f} of the memory, {head['time']:.2f}x the time"
    assert shown in row("log-prob, entropy")


def test_measured_costs_of_rollouts_are_those_of_the_recorded_run():
    found = results("rollout_scheduling")
    busy = {
        line["side"]: line["busy %"]
        for line in found["busy"]
        if line["in play"] == 32 and line["step ms"] == 4
    }
    assert f"| {busy['free-running']:.0f} %, {busy['lock-step']:.0f} % |" in row("generator busy")
    for text, start in (("none", "what a step costs"), ("new", "the same with text never")):
        costs = [
            next(c for c in found["cost"] if (c["where"], c["in play"]) == (where, 32)
                 and c["text"] == text)["wall us"]
            for where in ("in process", "worker process")
        ]  # fmt: skip
        assert f"| {costs[0]:.0f}, {costs[1]:.0f} us |" in row(start)
    crowd = next(line for line in found["crowd"] if line["environment"].startswith("agentrl/"))
    shown = f"| {crowd['steps/s']:.0f} steps/s, {crowd['MiB each']:.1f} MiB each |"
    assert shown in row("1,000 TextWorld games")


def test_the_quickstart_table_is_the_recorded_mean():
    summaries = [run["summary"] for run in results("quickstart")["runs"]]
    for start, panel in (("training mazes", "train"), ("mazes never seen", "heldout")):
        before, after = (
            statistics.mean(summary[f"{panel}_success{when}"] for summary in summaries)
            for when in ("_warm", "")
        )
        assert row(start) == f"| {start} | {before:.2f} | {after:.2f} |"


def test_what_branches_save_is_the_recorded_mean():
    found = results("branching")
    runs = {arm: [run for run in found["runs"] if run["arm"] == arm] for arm in ARMS}
    ours, theirs = (statistics.mean(run["tokens_per_step"] for run in runs[arm]) for arm in ARMS)
    text = " ".join(README.split())
    assert f"sample {100 * (1 - ours / theirs):.0f} % fewer tokens a step" in text
    gaps = found["branching_minus_independent"]
    training, unseen = (gaps[panel]["whole curve"]["mean"] for panel in ("training", "held-out"))
    assert f"is {training:.2f} higher on the training mazes and {unseen:.2f}" in text


def test_the_table_of_small_runs_is_the_recorded_one():
    names = {
        "webshop": "WebShop, gen",
        "alfworld": "ALFWorld, gen",
        "scienceworld": "ScienceWorld: l",
        "searchqa": "SearchQA: one",
        "math": "Math: sums",
    }
    for name, start in names.items():
        mean = results(f"learning_{name}")["mean"]
        keys = [
            f"{panel}_success{when}" for panel in ("train", "heldout") for when in ("_warm", "")
        ]
        cells = " | ".join(f"{mean[key]:.2f}" for key in keys)
        assert row(start).endswith(f"| {cells} |")


def test_the_comparison_with_the_original_environments_is_the_recorded_one():
    recorded = results("environments")
    peers, own = recorded["peers"], recorded["environments"]
    alfworld = peers["alfworld"]["times_faster"]
    assert f"| {alfworld['step_cpu']:.0f}x / {alfworld['reset_cpu']:.0f}x less |" in row(
        "ALFWorld a"
    )
    science = peers["scienceworld"]
    steps = [part["times_faster"]["step_cpu"] for part in (science, science["without_list"])]
    assert f"| {steps[0]:.1f}x / {steps[1]:.1f}x less |" in row("ScienceWorld a")
    assert f"| {peers['webshop']['ratio']:.0f}x less |" in row("WebShop a")
    step = row("a step of ALFWorld")
    for name in ("alfworld", "webshop"):
        assert f"{own[name]['step']:.2f}" in step
        assert f"{own[name]['worker_adds_us'] / 1000:.2f}" in step
