"""`agentrl analyse`: tables, files and mistakes, on run directories made by hand."""

import io
import json
import math
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import fields

import numpy as np
import pytest
from rich.console import Console

from agentrl.analysis import tool
from agentrl.analysis.entropy_law import EntropyLaw
from agentrl.analysis.registry import TOOLS
from agentrl.analysis.result import Analysis, Table
from agentrl.cli.analyse_command import _OPTIONS
from agentrl.training.curves import Plot
from tests.analysis.runs import tree_of, write_run

LAW = EntropyLaw(a=0.3, b=0.9)


def lines(count=40, **more):
    """Entropy falls from 0.9 by 0.02 a step; held-out success follows the law."""
    found = [{"step": 0, "eval/heldout_success": 0.1}]
    for step in range(1, count + 1):
        entropy = 0.9 - 0.02 * step
        found.append(
            {
                "step": step,
                "learner/entropy": entropy,
                "rollout/reward": 0.01 * step,
                "rollout/success": 0.01 * step,
                "eval/heldout_success": float(LAW.predict(entropy)),
                "learner/kl_old/k3": 1e-4,
                **more,
            }
        )
    return found


def group(step, number):
    """Two episodes that win in different ways and one that loses, more certain at later steps."""
    sure = -0.5 / step
    return tree_of(
        [(["left", "take"], 1.0), (["right", "take"], 1.0), (["wait"], 0.0)],
        logprobs=(sure, sure / 2),
        entropies=(0.6 / step, 0.3),
        name=str(number),
    )


@pytest.fixture
def run(tmp_path):
    steps = {step: [group(step, number) for number in range(4)] for step in (1, 2, 3, 4, 6)}
    return write_run(tmp_path, lines(), steps)


def analyse(run_agentrl, run, name, *options):
    """Run a tool that must succeed; returns what it prints and what it writes."""
    status, output, error = run_agentrl("analyse", str(run), "--tool", name, *options)
    assert (status, error) == (0, "")
    ElementTree.parse(run / "analysis" / f"{name}.svg")
    return output, json.loads((run / "analysis" / f"{name}.json").read_text())


def refused(run_agentrl, *arguments):
    """Run a command that must fail in one clear line."""
    status, output, error = run_agentrl("analyse", *map(str, arguments))
    assert status == 2 and output == ""
    assert error.startswith("agentrl: ") and error.count("\n") == 1
    return error


def test_the_law_is_found_from_the_first_points(run_agentrl, run):
    output, numbers = analyse(run_agentrl, run, "entropy-law")
    assert "R = -a exp(H) + b" in output and "entropy-law.svg" in output
    assert numbers["window"] == 6
    assert numbers["early"]["a"] == pytest.approx(0.3)
    assert numbers["early"]["ceiling"] == pytest.approx(0.6)
    assert numbers["drift"] == []
    assert numbers["metrics"]["performance"] == "eval/heldout_success"


def test_too_few_evaluations_make_the_law_use_the_rollouts_and_say_so(run_agentrl, tmp_path):
    metrics = lines(20)
    for line in metrics[4:]:
        del line["eval/heldout_success"]
    output, numbers = analyse(run_agentrl, write_run(tmp_path, metrics), "entropy-law")
    assert numbers["metrics"]["performance"] == "rollout/success"
    assert "Too few evaluations" in output


def test_a_law_that_breaks_alarms(run_agentrl, tmp_path):
    metrics = lines(30)
    for line in metrics[25:]:
        line["eval/heldout_success"] -= 0.3
    output, numbers = analyse(run_agentrl, write_run(tmp_path, metrics), "entropy-law")
    assert numbers["drift"] == [25, 26, 27, 28, 29, 30]
    assert "Drift: " in output


def test_terms_that_the_law_does_not_allow_are_named(run_agentrl, tmp_path):
    run = write_run(tmp_path, lines(20, **{"learner/loss/kl_ref": 0.1}))
    assert "stated for training without" in analyse(run_agentrl, run, "entropy-law")[0]


def test_the_covariance_of_saved_rollouts(run_agentrl, run):
    output, numbers = analyse(run_agentrl, run, "covariance", "--top", "0.5")
    first = numbers["steps"][0]
    # Per group 10 tokens: log-probs -0.5, -0.25 by turns; A is a, a, -2a with a = 1/sqrt(3).
    logs = np.array([-0.5, -0.25] * 5)
    advantages = np.array([1, 1, 1, 1, 1, 1, 1, 1, -2, -2]) / math.sqrt(3)
    assert first["tokens"] == 40
    assert first["covariance"] == pytest.approx(np.cov(logs, advantages, bias=True)[0, 1], abs=1e-6)
    changes = {change["step"]: change["measured"] for change in numbers["changes"]}
    assert changes[1] == pytest.approx(-0.15)
    assert changes[4] == pytest.approx((0.05 - 0.075) / 2)  # two steps apart
    assert [part["name"] for part in numbers["turns"]] == ["0", "1"]
    assert "per step between saves" in output and "top 50%" in output


def test_two_saved_steps_are_too_few_to_compare(run_agentrl, tmp_path):
    run = write_run(tmp_path, lines(2), {1: [group(1, 0)], 2: [group(2, 0)]})
    output, numbers = analyse(run_agentrl, run, "covariance")
    assert numbers["agreement"] == {} and "too few" in output


def test_two_ways_to_win_are_a_cliff(run_agentrl, run):
    output, numbers = analyse(run_agentrl, run, "policy-cliff", "--noise", "0.01")
    assert numbers["all"]["degenerate"] == numbers["all"]["contested"] == 1.0
    assert numbers["all"]["flips"] == pytest.approx(0.5, abs=0.15)
    assert numbers["all"]["tv_soft"] <= numbers["all"]["bound"] <= 0.05
    assert [row["noise"] for row in numbers["sweep"]][2] == 0.01
    assert "Cliff: " in output


def test_a_component_is_taken_off_the_reward(run_agentrl, run):
    _, numbers = analyse(run_agentrl, run, "policy-cliff", "--drop", "success", "--weight", "2")
    assert numbers["all"]["flips"] == 1.0  # losing is best without what winning gives, twice
    assert numbers["sweep"] == []


def test_reward_and_distance(run_agentrl, run):
    output, numbers = analyse(run_agentrl, run, "overoptimisation")
    assert numbers["distance"]["d"][:3] == pytest.approx([0.0, 0.01, 0.02])
    proxy = numbers["curves"]["rollout/reward"]
    assert proxy["alpha"] == pytest.approx(1.0) and proxy["beta"] == pytest.approx(0, abs=1e-6)
    assert numbers["early_stop"] is None and "did not fire" in output


def test_falling_held_out_success_stops(run_agentrl, tmp_path):
    metrics = lines(12)
    for line in metrics[7:]:
        line["eval/heldout_success"] = 0.5 - 0.05 * line["step"]
    run = write_run(tmp_path, metrics)
    output, numbers = analyse(run_agentrl, run, "overoptimisation")
    assert numbers["early_stop"]["best_step"] == 6
    assert "the checkpoint of step 6 is better" in output


def test_a_divergence_from_the_reference_is_no_path(run_agentrl, tmp_path):
    metrics = [line | {"learner/kl_ref": 0.01 * line["step"] ** 2} for line in lines(6)]
    _, numbers = analyse(run_agentrl, write_run(tmp_path, metrics), "overoptimisation")
    assert numbers["distance"]["d"] == pytest.approx([0.1 * step for step in range(7)])


def test_files_go_where_they_are_asked_to(run_agentrl, run, tmp_path):
    folder = tmp_path / "elsewhere"
    status, *_ = run_agentrl(
        "analyse", str(run), "--tool", "policy-cliff", "--out", str(folder), "--draws", "2"
    )
    assert status == 0
    assert sorted(path.name for path in folder.iterdir()) == [
        "policy-cliff.json",
        "policy-cliff.svg",
    ]
    assert not (run / "analysis").exists()


def test_an_unknown_tool_names_the_nearest(run_agentrl, run):
    assert "Did you mean 'entropy-law'" in refused(run_agentrl, run, "--tool", "entropy-lav")


@pytest.mark.parametrize("arguments", [[], ["somewhere"]])
def test_without_run_or_tool_both_are_asked_for(run_agentrl, arguments):
    assert "covariance" in refused(run_agentrl, *arguments)


def test_a_folder_without_a_run_is_refused(run_agentrl, tmp_path):
    missing = refused(run_agentrl, tmp_path / "no", "--tool", "covariance")
    assert "There is no run directory" in missing
    assert "no config.yaml" in refused(run_agentrl, tmp_path, "--tool", "covariance")


@pytest.mark.parametrize("name", ["entropy-law", "overoptimisation"])
def test_a_run_without_metrics_is_refused(run_agentrl, tmp_path, name):
    assert "no metrics yet" in refused(run_agentrl, write_run(tmp_path), "--tool", name)


@pytest.mark.parametrize("name", ["covariance", "policy-cliff"])
def test_a_run_without_rollouts_is_refused(run_agentrl, tmp_path, name):
    run = write_run(tmp_path, lines(3))
    assert "`checkpoint.rollouts_every`" in refused(run_agentrl, run, "--tool", name)


def test_a_missing_metric_names_the_nearest(run_agentrl, run):
    error = refused(run_agentrl, run, "--tool", "entropy-law", "--entropy", "learner/entropi")
    assert "Did you mean 'learner/entropy'" in error


def test_a_missing_component_names_the_nearest(run_agentrl, run):
    error = refused(run_agentrl, run, "--tool", "policy-cliff", "--drop", "succes")
    assert "Did you mean 'success'" in error


def test_too_few_points_are_refused(run_agentrl, tmp_path):
    run = write_run(tmp_path, lines(3))
    assert "3 found, at least 6" in refused(run_agentrl, run, "--tool", "entropy-law")


def test_an_entropy_that_hardly_moves_is_refused(run_agentrl, tmp_path):
    metrics = [
        {"step": step, "learner/entropy": 0.5 - 0.001 * step, "rollout/success": 0.1}
        for step in range(1, 20)
    ]
    error = refused(run_agentrl, write_run(tmp_path, metrics), "--tool", "entropy-law")
    assert "0.004 nats only" in error and "`--fraction`" in error


@pytest.mark.parametrize("value", [None, 0.0])
def test_a_run_that_measures_no_divergence_is_refused(run_agentrl, tmp_path, value):
    metrics = [line | {"learner/kl_old/k3": value} for line in lines(8)]
    if value is None:
        metrics = [{k: v for k, v in line.items() if v is not None} for line in metrics]
    error = refused(run_agentrl, write_run(tmp_path, metrics), "--tool", "overoptimisation")
    assert "`learner.updates_per_step`" in error


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("entropy-law", "--fraction", "0"),
        ("covariance", "--top", "2"),
        ("policy-cliff", "--noise", "0"),
        ("policy-cliff", "--alpha", "-1"),
        ("policy-cliff", "--draws", "0"),
        ("overoptimisation", "--patience", "1"),
        ("self-critique", "--samples", "0"),
    ],
)
def test_options_out_of_range_are_refused(run_agentrl, run, name, option, value):
    assert f"`{option}` is" in refused(run_agentrl, run, "--tool", name, option, value)


def test_an_option_of_another_tool_is_refused_with_those_there_are(run_agentrl, run):
    error = refused(run_agentrl, run, "--tool", "covariance", "--alpha", "1")
    assert "`--alpha` is no option of `--tool covariance`, which takes --top." in error


def test_the_list_and_the_help_name_every_tool(run_agentrl):
    status, output, _ = run_agentrl("analyse", "--list")
    assert status == 0 and [line.split()[0] for line in output.splitlines()] == list(TOOLS)
    _, text, _ = run_agentrl("analyse", "--help")
    said = " ".join(text.split())
    for name, what in TOOLS.items():
        assert re.search(rf"{name}\s+{re.escape(what)}", said)


def test_the_command_line_has_the_options_of_every_tool():
    for name in TOOLS:
        assert [option for option, *_ in _OPTIONS[name]] == [
            item.name for item in fields(tool(name).options)
        ]


def test_what_is_not_finite_is_null_in_files_and_a_dash_in_tables(tmp_path):
    found = Analysis(
        tool="test",
        run="run",
        tables=[Table("t", ["a"], [[math.nan], [None], [0.5]])],
        plots=[Plot(curves=[])],
        numbers={"x": [math.inf, 1.0], "y": np.array([math.nan])},
    )
    assert found.tables[0].texts() == [["-"], ["-"], ["0.5"]]
    _, path = found.write(tmp_path)
    data = json.loads(path.read_text())
    assert data["x"] == [None, 1.0] and data["y"] == [None]


def test_on_a_narrow_terminal_tables_are_cut_between_columns_and_numbers_never():
    rows = [[step, *(0.12345 + 0.01 * n for n in range(8))] for step in range(3)]
    table = Table("t", ["step", *(f"column {n}" for n in range(8))], rows)
    output = io.StringIO()
    console = Console(
        file=output, width=50, force_terminal=True, no_color=True, legacy_windows=False
    )
    Analysis(tool="test", run="run", tables=[table]).show(console)
    text = re.sub(r"\x1b\[[0-9;]*m", "", output.getvalue())
    assert all(len(line) <= 50 for line in text.splitlines())
    for number in range(8):
        assert text.count(f"{0.12345 + 0.01 * number:.3g}") == 3
    assert text.count("step") > 1


def test_of_many_steps_evenly_spaced_ones_up_to_the_last_are_shown():
    table = Table.by_step("t", ["step"], [[step] for step in range(1, 101)])
    assert [row[0] for row in table.rows] == list(range(5, 101, 5))
    assert "1 of 5 rows" in table.title
    assert Table.by_step("t", ["step"], [[1], [2]]).rows == [[1], [2]]
