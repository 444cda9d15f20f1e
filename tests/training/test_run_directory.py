"""What a run leaves behind, and what happens when it is started again."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from agentrl.config import load_config
from agentrl.errors import ConfigError
from agentrl.training.run_directory import RunDirectory
from tests.training.conftest import RunServer
from tests.training.runs import CORRIDOR, STEPS, final_checkpoint, metrics, write_config

SUMMARY = {
    "train_success_warm",
    "train_success",
    "heldout_success_warm",
    "heldout_success",
    "panel_hashes",
    "minutes",
}


def test_the_summary_keeps_its_contract(finished_run: Path):
    summary = json.loads((finished_run / "summary.json").read_text())
    assert summary.keys() >= SUMMARY
    for name in SUMMARY - {"panel_hashes", "minutes"}:
        assert 0.0 <= summary[name] <= 1.0
    assert summary["panel_hashes"].keys() == {"train", "heldout"}
    for split, value in summary["panel_hashes"].items():
        score = json.loads((finished_run / "eval" / f"step-{STEPS:06d}-{split}.json").read_text())
        assert score["panel_hash"] == value
        assert score["success"] == summary[f"{split}_success"]


def test_every_step_has_a_line_of_finite_metrics(finished_run: Path):
    lines = metrics(finished_run)
    assert [line["step"] for line in lines] == list(range(STEPS + 1))
    assert all(math.isfinite(value) for line in lines for value in line.values())
    assert [line["step"] for line in lines if "eval/heldout_success" in line] == [0, 2, 4]


def test_the_effective_configuration_is_kept(finished_run: Path):
    assert load_config(finished_run / "config.yaml").run_dir == str(finished_run)


VOID = {"meta", "polyline", "circle", "path", "rect", "line", "br"}


class Page(HTMLParser):
    """Checks that elements nest and collects what is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.count: dict[str, int] = {}
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_report_is_well_formed_and_shows_curves_and_transcripts(finished_run: Path):
    page = Page()
    text = (finished_run / "report.html").read_text()
    page.feed(text)
    page.close()
    assert page.open == []
    assert page.count["svg"] >= 6 and page.count["polyline"] >= 8
    assert page.count["details"] >= 2  # an episode of each held-out task
    assert "Exits: " in page.text and 'class="turn model"' in text and "held-out panel" in page.text
    assert "http" not in text.replace("http://www.w3.org", "")  # nothing is loaded from elsewhere


def test_tensorboard_shows_each_step_once(finished_run: Path, tmp_path: Path, quiet_console):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from agentrl.training import train

    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    (run / "summary.json").unlink()
    shutil.rmtree(final_checkpoint(run))  # so the last step is done again
    train(load_config(write_config(tmp_path, tensorboard=True)), quiet_console)
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    steps = [event.step for event in events.Scalars("rollout/success")]
    assert steps == list(range(1, STEPS + 1))


def test_a_trained_model_loads_with_plain_transformers(finished_run: Path):
    """That no part of AgentRL is needed for it: `tests/models/test_tiny.py`."""
    checkpoint = final_checkpoint(finished_run)
    assert "agentrl" not in (checkpoint / "config.json").read_text()
    model = AutoModelForCausalLM.from_pretrained(checkpoint)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": "You see a door."}],
        add_generation_prompt=True, return_tensors="pt", return_dict=False,
    )  # fmt: skip
    assert model.generate(ids, max_new_tokens=4, do_sample=False).shape[1] > ids.shape[1]


def test_a_finished_run_is_moved_aside(run_agentrl, tmp_path: Path):
    config = str(write_config(tmp_path, CORRIDOR, steps=1))
    for _ in range(3):
        status, output, error = run_agentrl("train", config)
        assert status == 0, error
    assert json.loads(output.splitlines()[-1]).keys() >= SUMMARY
    assert "A finished run was in" in output
    for name in ("run", "run.old-1", "run.old-2"):
        assert (tmp_path / name / "summary.json").is_file()


def test_a_finished_run_goes_on_when_more_steps_are_asked_for(run_agentrl, tmp_path: Path):
    config = str(write_config(tmp_path, CORRIDOR, steps=1))
    assert run_agentrl("train", config)[0] == 0
    status, output, _ = run_agentrl("train", config, "steps=2")
    assert status == 0 and "Going on from" in output
    assert [line["step"] for line in metrics(tmp_path / "run")] == [0, 1, 2]


def test_without_a_terminal_every_step_is_one_line_and_the_last_line_is_the_summary(
    run_agentrl, tmp_path: Path
):
    _, output, _ = run_agentrl("train", str(write_config(tmp_path, CORRIDOR, steps=2)))
    lines = output.splitlines()
    steps = [line for line in lines if line.startswith("step ")]
    assert [line.split()[1] for line in steps] == ["1/2", "2/2"]
    assert all("success" in line and "seconds" in line for line in steps)
    assert json.loads(lines[-1])["steps"] == 2


def test_two_processes_cannot_train_in_one_directory(tmp_path: Path):
    again = RunDirectory(tmp_path).locked()
    with (
        RunDirectory(tmp_path).locked(),
        pytest.raises(ConfigError, match="another process is training"),
    ):
        again.__enter__()
    with RunDirectory(tmp_path).locked():
        pass


@pytest.mark.parametrize("seconds_after_start", [0.0, 0.4])
def test_ctrl_c_leaves_a_run_that_goes_on_and_prints_one_line(
    server: RunServer, tmp_path: Path, seconds_after_start: float
):
    arguments = ["train", str(write_config(tmp_path, CORRIDOR, steps=300))]
    output = tmp_path / "output"
    pid = server.start(arguments, output)
    deadline = time.monotonic() + 60
    while not (output.exists() and "step 2/300" in output.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(seconds_after_start)
    os.kill(pid, signal.SIGINT)
    assert server.wait() == 130
    text = output.read_text()
    assert "Traceback" not in text
    assert text.splitlines()[-1] == (
        "agentrl: interrupted; the same command goes on from the last checkpoint."
    )
    assert server.leftovers() == []
    done = int(final_checkpoint(tmp_path / "run").name[-6:])
    assert server.run([*arguments, f"steps={done + 1}"], output) == 0
    assert [line["step"] for line in metrics(tmp_path / "run")] == list(range(done + 2))
