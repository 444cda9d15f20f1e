"""Running questions: nothing is asked twice, nothing is lost, every failure is a wrong sample."""

from __future__ import annotations

import asyncio
import json

import pytest

from agentrl.envs.questions import Question, QuestionSet
from agentrl.errors import ConfigError, DataError
from agentrl.evaluation.questions import (
    Prediction,
    RunSettings,
    answer_questions,
    read_predictions,
)


def question_set(count=4, *, private=False):
    rows = tuple(
        Question(id=f"q{n}", question=f"Is {n} even?", answers=("yes" if n % 2 == 0 else "no",))
        for n in range(count)
    )
    return QuestionSet(
        name="made", split="test", path="-", questions=rows, scorer="qa", private=private
    )


class Agent:
    """Answers yes, after a moment; can be made to fail."""

    def __init__(self, failing=(), seconds=0.0):
        self.asked = []
        self.failing, self.seconds = failing, seconds
        self.busy = self.busiest = 0

    async def __call__(self, question, sample):
        self.asked.append((question.id, sample))
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        try:
            await asyncio.sleep(self.seconds)
            if question.id in self.failing:
                raise ValueError("no idea")
        finally:
            self.busy -= 1
        return Prediction(id="", prediction="yes", calls=2, transcript=["hello"])


def run(agent, path, questions=None, progress=None, **settings):
    return asyncio.run(
        answer_questions(
            questions or question_set(),
            agent,
            path,
            RunSettings(agent="made", **settings),
            progress,
        )
    )


def test_every_question_is_asked_as_often_as_wanted(tmp_path):
    agent, told = Agent(seconds=0.01), []
    path = tmp_path / "new" / "p.jsonl"
    found = run(agent, path, samples=3, concurrency=2, progress=lambda *said: told.append(said))
    assert sorted(agent.asked) == sorted((f"q{n}", s) for n in range(4) for s in range(3))
    assert agent.busiest == 2
    assert [said[1:] for said in told] == [(n, 12) for n in range(1, 13)]
    header, stored = read_predictions(path)
    assert header.samples == 3
    assert sorted(stored, key=str) == sorted(found, key=str)


def test_a_killed_run_goes_on_where_it_was(tmp_path):
    path = tmp_path / "p.jsonl"
    whole = run(Agent(), path)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:3]) + lines[3][:20])  # cut inside the third prediction
    agent = Agent()
    assert run(agent, path) == whole
    assert agent.asked == [("q2", 0), ("q3", 0)]
    assert run(agent, path) == whole
    assert len(agent.asked) == 2


def test_more_samples_may_be_added_and_fewer_lose_none(tmp_path):
    path = tmp_path / "p.jsonl"
    run(Agent(), path, samples=2)
    agent = Agent()
    assert len(run(agent, path, samples=1)) == 4
    assert len(run(agent, path, samples=3)) == 12
    assert sorted(agent.asked) == [(f"q{n}", 2) for n in range(4)]


def test_errors_and_late_answers_are_failed_samples(tmp_path):
    path = tmp_path / "p.jsonl"
    found = run(Agent(failing=["q1"]), path)
    assert [p.stop for p in found] == ["answered", "error", "answered", "answered"]
    assert found[1].failed
    assert found[1].error == "ValueError: no idea"
    late = run(Agent(seconds=5), tmp_path / "late.jsonl", deadline=0.05)
    assert {p.stop for p in late} == {"timeout"}
    assert all(p.failed for p in late)


def test_errors_are_asked_again_only_when_wanted(tmp_path):
    path = tmp_path / "p.jsonl"
    run(Agent(failing=["q1"]), path)
    agent = Agent()
    assert run(agent, path)[1].failed
    assert agent.asked == []
    assert not run(agent, path, retry_errors=True)[1].failed
    assert agent.asked == [("q1", 0)]


def test_a_file_of_another_run_is_refused(tmp_path):
    path = tmp_path / "p.jsonl"
    run(Agent(), path, described={"temperature": 0.6, "tools": ("search",)})
    run(Agent(), path, described={"temperature": 0.6, "tools": ("search",)})
    with pytest.raises(DataError, match="another run"):
        run(Agent(), path, described={"temperature": 1.0})
    with pytest.raises(DataError, match="another run"):
        run(Agent(), path, question_set(5))


def test_transcripts_of_a_private_set_are_not_written(tmp_path):
    path = tmp_path / "p.jsonl"
    run(Agent(), path, question_set(private=True))
    assert "hello" not in path.read_text()
    run(Agent(), tmp_path / "open.jsonl", question_set())
    assert "hello" in (tmp_path / "open.jsonl").read_text()


def test_damage_inside_a_file_is_refused(tmp_path):
    path = tmp_path / "p.jsonl"
    run(Agent(), path)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:2], "{cut\n", *lines[2:]]))
    with pytest.raises(DataError, match="Line 3"):
        read_predictions(path)
    with pytest.raises(DataError, match="no file"):
        read_predictions(tmp_path / "nothing.jsonl")


def test_files_from_elsewhere_need_no_header_and_the_last_line_of_a_sample_counts(tmp_path):
    path = tmp_path / "p.jsonl"
    rows = [{"id": "a", "prediction": "1", "model": "?"}, {"id": "a", "prediction": None}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    header, found = read_predictions(path)
    assert header is None
    assert found == [Prediction(id="a", prediction=None)]
    path.write_text('{"id": "a", "prediction": 3}\n')
    with pytest.raises(DataError, match="must be a string"):
        read_predictions(path)


@pytest.mark.parametrize("name", ["samples", "concurrency", "deadline"])
def test_settings_out_of_range_are_refused(name):
    with pytest.raises(ConfigError, match=name):
        RunSettings(agent="a", **{name: 0})
