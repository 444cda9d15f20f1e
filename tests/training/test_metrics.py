"""The metrics file survives kills and holds only what JSON knows."""

from __future__ import annotations

import json

import pytest

from agentrl.errors import DataError
from agentrl.training.metrics import MetricsLog, read_metrics


def log_steps(folder, steps, resume_step=None):
    log = MetricsLog(folder, resume_step=resume_step, tensorboard=False)
    for step in steps:
        log.write(step, {"value": step / 3})
    log.close()


def test_resuming_drops_the_steps_that_will_be_done_again(tmp_path):
    log_steps(tmp_path, range(6))
    log_steps(tmp_path, [4], resume_step=3)
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [0, 1, 2, 3, 4]
    assert read_metrics(tmp_path / "metrics.jsonl")[2]["value"] == 2 / 3


def test_a_fresh_run_drops_everything(tmp_path):
    log_steps(tmp_path, range(3))
    log_steps(tmp_path, [0])
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [0]


def test_a_torn_last_line_is_left_out_and_any_other_is_an_error(tmp_path):
    log_steps(tmp_path, range(2))
    path = tmp_path / "metrics.jsonl"
    with path.open("a") as file:
        file.write('{"step": 2, "val')
    assert [line["step"] for line in read_metrics(path)] == [0, 1]
    with path.open("a") as file:
        file.write("\n" + json.dumps({"step": 3}) + "\n")
    with pytest.raises(DataError, match="line 3"):
        read_metrics(path)


def test_numbers_that_json_does_not_know_become_null(tmp_path):
    log = MetricsLog(tmp_path, tensorboard=False)
    log.write(1, {"nan": float("nan"), "infinite": float("inf"), "fine": 1.5})
    log.close()
    (line,) = read_metrics(tmp_path / "metrics.jsonl")
    assert line == {"step": 1, "nan": None, "infinite": None, "fine": 1.5}
