"""When engine and learner disagree: one line at the start, one at the end, a mark on every step."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from agentrl.assembly import build_engine
from agentrl.config import load_config
from agentrl.engines.base import Completion
from agentrl.errors import ConfigError
from agentrl.training import train
from agentrl.training.mismatch_alarm import K3_LIMITS, Limits, MismatchAlarm, alarm_steps
from agentrl.training.report import write_report
from tests.training.runs import CORRIDOR, metrics, write_config

NOISE = {
    "float32": {"k3": 3e-12, "mean": 2e-6, "max": 1.1e-5, "outside": 0.0, "undefined": 0.0},
    "bfloat16": {"k3": 7e-4, "mean": 0.03, "max": 0.15, "outside": 0.012, "undefined": 0.0},
}
"""Measured where both sides had the same weights."""


def values(**found: float) -> dict[str, float]:
    return {f"learner/mismatch/{name}": value for name, value in found.items()}


class Watched:
    """An alarm and what it said."""

    def __init__(self, *overrides: str) -> None:
        self.lines: list[str] = []
        self.alarm = MismatchAlarm(load_config(None, overrides), self.lines.append)

    def __call__(self, step: int, **found: float) -> float | None:
        return self.alarm.watch(step, values(**found)).get("alarms/mismatch")


@pytest.mark.parametrize("dtype", NOISE)
def test_rounding_raises_no_alarm_and_ten_times_its_spread_does(dtype: str) -> None:
    watched, noise = Watched(f"model.dtype={dtype}"), NOISE[dtype]
    assert watched(1, **noise) == 0
    assert not watched.lines
    assert watched(2, **noise | {"k3": max(100 * noise["k3"], 1e-5)}) == 1


@pytest.mark.parametrize("name", ["k3", "mean", "outside"])
def test_each_of_the_three_numbers_raises_it(name: str) -> None:
    limits, watched = Limits.of(0.01), Watched("engine.mismatch_alarm=0.01")
    assert (limits.k3, limits.mean, limits.outside) == pytest.approx((0.01, 0.1, 0.2))
    below = {"k3": 0.0099, "mean": 0.099, "outside": 0.199}
    assert watched(1, **below) == 0
    assert watched(2, **below | {name: 1.01 * getattr(limits, name)}) == 1


def test_a_single_log_prob_that_is_no_number_raises_it() -> None:
    watched = Watched("model.dtype=bfloat16")
    assert watched(1, **NOISE["bfloat16"] | {"undefined": 1e-5}) == 1
    assert "infinite or no number" in watched.lines[0]
    assert Watched()(1, outside=1.0, undefined=1.0) == 1  # without any mean


def test_it_speaks_when_it_starts_and_when_it_ends() -> None:
    watched, fine = Watched(), NOISE["float32"]
    wrong = {"k3": 0.31, "mean": 0.52, "max": 3.0, "outside": 0.71, "undefined": 0.0}
    steps = [fine, wrong, wrong, wrong, fine, fine, wrong]
    assert [watched(n, **found) for n, found in enumerate(steps, 1)] == [0, 1, 1, 1, 0, 0, 1]
    start, end, again = watched.lines
    assert start.startswith("Warning, step 2: engine and learner disagree: k3 0.31 (limit 1e-06), ")
    assert "mean 0.52 nats (limit 0.001), 71.00% of ratios outside [0.9, 1.1]" in start
    causes = ["weights", "chat template or tokenizer", "truncated sampling", "bfloat16"]
    places = [start.index(cause) for cause in causes]
    assert places == sorted(places)
    assert "docs/engines.md" in start
    assert end.startswith("Step 5: engine and learner agree again after 3 steps: k3 3e-12")
    assert again.startswith("Warning, step 7")
    assert not any("\n" in line for line in watched.lines)


def test_truncation_that_the_run_asks_for_is_named_first() -> None:
    watched = Watched("rollout.top_p=0.9")
    watched(1, k3=0.005, mean=0.1, outside=0.0)
    assert "in this order: truncated sampling" in watched.lines[0]
    assert watched.lines[0].count("truncated sampling") == 1


def test_it_can_be_turned_off_and_says_nothing_where_nothing_was_compared() -> None:
    assert Watched("engine.mismatch_alarm=0")(1, k3=9.0, mean=9.0, outside=1.0) is None
    assert Watched()(1, stale_tokens=1.0) is None
    assert Watched()(1) is None


def test_steps_with_an_alarm_are_counted() -> None:
    lines = [{"step": 0}, {"alarms/mismatch": 1.0}, {"alarms/mismatch": 0.0}]
    assert alarm_steps([*lines, {"alarms/mismatch": 1.0}]) == 2
    assert alarm_steps(lines[:1]) is None


def test_every_dtype_has_a_limit() -> None:
    for dtype in ("float32", "bfloat16"):
        load_config(None, [f"model.dtype={dtype}"])
        assert dtype in K3_LIMITS
    with pytest.raises(ConfigError):
        load_config(None, ["model.dtype=float16"])


class Figures(HTMLParser):
    """Captions of a page, and the number of points of the curves below each."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: dict[str, int] = {}
        self._caption: str | None = None
        self._inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self._inside = tag == "figcaption"
        if tag == "circle" and self._caption:
            self.found[self._caption] += 1

    def handle_data(self, data: str) -> None:
        if self._inside:
            self._caption, self._inside = data, False
            self.found[data] = 0


def drawn(path: Path, lines: list[dict[str, Any]]) -> dict[str, int]:
    empty: dict[str, Any] = {"trees": [], "sampled": [], "decode": str, "config_text": ""}
    write_report(path, title="t", metrics=lines, summary={}, **empty)
    found = Figures(path.read_text()).found
    return {name: count for name, count in found.items() if name.startswith("Engine against")}


def test_the_report_draws_the_mismatch_where_there_is_one(tmp_path: Path) -> None:
    lines = [{"step": n, **values(k3=0.1 / n, outside=0.2)} for n in (1, 2, 3)]
    assert drawn(tmp_path / "page.html", lines) == {
        "Engine against learner (nats)": 3,
        "Engine against learner (tokens)": 3,
    }
    assert drawn(tmp_path / "page.html", [{"step": 1, "rollout/reward": 1.0}]) == {}


def shifted(engine: Any, shifts: dict[int, float]) -> Any:
    """Make an engine report other log-probs than it samples from, by version of its weights."""
    generate = engine.generate

    async def wrong(*args: Any, **options: Any) -> Completion:
        found = await generate(*args, **options)
        shift = shifts.get(engine.version, 0.0)
        return replace(found, logprobs=[value + shift for value in found.logprobs])

    engine.generate = wrong
    return engine


def train_with(
    shifts: dict[int, float], folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any
) -> tuple[str, list[dict[str, Any]], dict[str, Any]]:
    """Train four steps; return what was printed, the metrics after step 0 and the summary."""

    def build(*args: Any) -> Any:
        return shifted(build_engine(*args), shifts)

    monkeypatch.setattr("agentrl.assembly.build_engine", build)
    output = io.StringIO()
    config = load_config(write_config(folder, CORRIDOR, **changes))
    train(config, Console(file=output, width=100))
    found = json.loads((folder / "run" / "summary.json").read_text())
    return output.getvalue(), metrics(folder / "run")[1:], found


def test_a_run_says_counts_and_draws_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text, lines, summary = train_with({1: -0.5, 2: -0.5}, tmp_path, monkeypatch)
    assert [line["alarms/mismatch"] for line in lines] == [0, 1, 1, 0]
    for line, shift in zip(lines, (0.0, 0.5, 0.5, 0.0), strict=True):
        assert line["learner/mismatch/mean"] == pytest.approx(shift, abs=1e-5)
        expected = math.exp(shift) - 1 - shift
        assert line["learner/mismatch/k3"] == pytest.approx(expected, abs=1e-5)
        assert line["learner/mismatch/outside"] == pytest.approx(float(shift > 0))
        assert line["learner/mismatch/stale_tokens"] == 0
        assert line["learner/behaviour/mean"] == pytest.approx(1)
    assert text.count("Warning, step 2: engine and learner disagree") == 1
    assert text.count("Step 4: engine and learner agree again after 2 steps") == 1
    assert text.count("engine and learner") == 2
    assert text.count("Correction for the engine: none (the embedded engine") == 1
    assert summary["mismatch_alarms"] == 2
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Engine against learner (nats)" in page
    assert "<th>mismatch alarms</th><td>2</td>" in page


def test_a_correction_weighs_what_the_engine_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shifts = dict.fromkeys(range(4), math.log(0.8))
    engine = {"correction": "token-tis", "mismatch_alarm": 0}
    text, lines, summary = train_with(shifts, tmp_path, monkeypatch, engine=engine)
    for line in lines:
        assert line["learner/behaviour/mean"] == pytest.approx(1.25, rel=1e-4)
        assert "alarms/mismatch" not in line
    assert "Correction for the engine: token-tis (`engine.correction`)" in text
    assert "mismatch_alarms" not in summary


def test_log_probs_that_are_no_numbers_stop_nothing_and_are_not_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = {"correction": "token-tis"}
    text, lines, _ = train_with({2: math.nan}, tmp_path, monkeypatch, engine=engine)
    assert [line["alarms/mismatch"] for line in lines] == [0, 0, 1, 0]
    assert lines[2]["learner/mismatch/undefined"] == pytest.approx(1)
    assert all(line["learner/skipped"] == 0 for line in lines if "learner/skipped" in line)
    assert "100.00% of log-probs infinite or no number" in text
