"""Scores of stored predictions: hand-computed numbers, every denominator, reports without leaks."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from question_files import GAIA_ROWS, write_lines

from agentrl.engines.openai import OpenAIClient, Server
from agentrl.envs.questions import FORMS, Question, QuestionSet, load_questions
from agentrl.errors import ConfigError, DataError, UnknownNameError
from agentrl.evaluation.interval import wilson_interval
from agentrl.evaluation.judge import LLMJudge
from agentrl.evaluation.judge_forms import JUDGE_FORMS
from agentrl.evaluation.questions import (
    Prediction,
    PredictionWriter,
    RunHeader,
    official_scorers,
    score_file,
)
from agentrl.evaluation.questions.bootstrap import bootstrap_interval
from agentrl.scoring.maths import MathsScorer
from tests.engines.scripted_server import chat_answer, scripted


def made(answers, *, scorer="qa", levels=(), categories=(), private=False, metadata=None):
    """Return a set of questions with these accepted answers."""
    rows = tuple(
        Question(
            id=f"q{n}",
            question=f"Question number {n}?",
            answers=tuple(golds),
            level=levels[n] if levels else "",
            category=categories[n] if categories else "",
            metadata=metadata or {},
        )
        for n, golds in enumerate(answers)
    )
    return QuestionSet(
        name="made", split="test", path="-", questions=rows, scorer=scorer, private=private
    )


def written(path, questions, predictions, samples=1):
    header = RunHeader(
        questions=questions.label, hash=questions.hash, agent="someone", samples=samples
    )
    with PredictionWriter(path, header, predictions):
        pass
    return path


def score(path, questions, scorers=None, **options):
    scorers = scorers or official_scorers(questions.scorer)
    return asyncio.run(score_file(path, questions, scorers, **options))


def test_averages_pass_at_k_and_majorities_are_those_computed_by_hand(tmp_path):
    questions = made([["cat"], ["dog"]])
    said = {"q0": ["cat", "The Cat!", "x", "y"], "q1": ["z", "z", "z", "dog"]}
    predictions = [
        Prediction(id=name, sample=n, prediction=text)
        for name, texts in said.items()
        for n, text in enumerate(texts)
    ]
    path = written(tmp_path / "p.jsonl", questions, predictions, samples=4)
    em = score(path, questions, ks=(1, 2, 4)).headline
    assert em.average == pytest.approx((2 / 4 + 1 / 4) / 2)
    # pairs without a right one: 1 of 6 and 3 of 6
    assert em.pass_at == pytest.approx({1: 3 / 8, 2: (5 / 6 + 3 / 6) / 2, 4: 1.0})
    assert em.maj_at[4] == pytest.approx((1 + 0) / 2)
    assert (em.questions, em.samples, em.errors) == (2, 8, 0)


def test_failed_late_missing_and_silent_samples_are_wrong_and_stay_in_the_denominator(tmp_path):
    questions = made([["cat"]] * 5)
    predictions = [
        Prediction(id="q0", prediction="cat", calls=4, tokens=100, seconds=2.0),
        Prediction(id="q1", prediction="cat", stop="timeout"),
        Prediction(id="q2", prediction="cat", stop="env_error", error="?"),
        Prediction(id="q3", prediction=None, stop="truncated_turns"),
    ]
    report = score(written(tmp_path / "p.jsonl", questions, predictions), questions)
    row = report.rows[0]
    assert report.headline.average == pytest.approx(1 / 5)
    assert report.headline.interval == pytest.approx(wilson_interval(1, 5))
    assert (row.effort.samples, row.effort.missing, row.effort.failed) == (5, 1, 2)
    assert row.effort.stops == {"answered": 1, "env_error": 1, "timeout": 1, "truncated_turns": 1}
    assert row.effort.calls == pytest.approx(1.0)
    said = "ended: answered 1, env_error 1, timeout 1, truncated_turns 1"
    assert said in (tmp_path / "p.report.txt").read_text()


def test_gaia_counts_no_answer_as_the_text_none_but_not_a_failure(tmp_path):
    questions = made([["None"], ["none"], ["4"]], scorer="gaia")
    predictions = [
        Prediction(id="q0", prediction=None, stop="truncated_turns"),
        Prediction(id="q1", prediction=None, stop="timeout"),
        Prediction(id="q2", prediction="$4"),
    ]
    report = score(written(tmp_path / "p.jsonl", questions, predictions), questions)
    assert report.headline.average == pytest.approx(2 / 3)


def test_groups_are_levels_categories_and_both(tmp_path):
    questions = made([["cat"]] * 4, levels=["1", "1", "2", "2"], categories=["x", "y", "y", "y"])
    predictions = [Prediction(id="q0", prediction="cat"), Prediction(id="q2", prediction="cat")]
    report = score(written(tmp_path / "p.jsonl", questions, predictions), questions)
    found = {row.name: (row.questions, row.scores["exact_match"].average) for row in report.rows}
    assert found == {
        "all": (4, 0.5),
        "level 1": (2, 0.5),
        "level 2": (2, 0.5),
        "x": (1, 1.0),
        "y": (3, pytest.approx(1 / 3)),
        "x, level 1": (1, 1.0),
        "y, level 1": (1, 0.0),
        "y, level 2": (2, 0.5),
    }


def test_judge_errors_are_apart_and_never_wrong(tmp_path):
    questions = made([["cat"]] * 4, scorer="webwalker")
    predictions = [
        Prediction(id="q0", prediction="yes"),
        Prediction(id="q1", prediction="no"),
        Prediction(id="q2", prediction="unclear"),
        Prediction(id="q3", prediction=None),
    ]
    path = written(tmp_path / "p.jsonl", questions, predictions)

    def reply(body):
        prompt = body["messages"][0]["content"]
        grade = "CORRECT" if "answer: yes" in prompt else "INCORRECT"
        return chat_answer("hm" if "unclear" in prompt else f"GRADE: {grade}")

    async def judged(url):
        async with OpenAIClient(Server(url=url, model="j")) as client:
            scorers = official_scorers(
                "webwalker", judge=lambda form: LLMJudge(client, "j", form, cache=tmp_path / "c")
            )
            return await score_file(path, questions, scorers)

    with scripted(reply) as server:
        online = asyncio.run(judged(server.url))
    found = online.headline
    assert found.average == pytest.approx(1 / 3)  # yes of yes, no and the silent one
    assert (found.questions, found.samples, found.errors) == (3, 3, 1)
    assert len(server.bodies) == 3  # silence is not judged
    assert online.scorers == {
        "judge:webwalker": {"model": "j", "prompt hash": JUDGE_FORMS["webwalker"].hash}
    }
    offline = official_scorers(
        "webwalker", judge=lambda form: LLMJudge(None, "j", form, cache=tmp_path / "c")
    )
    assert score(path, questions, offline) == online


def test_simpleqa_tells_wrong_from_not_attempted(tmp_path):
    questions = made([["cat"]] * 5, scorer="simpleqa")
    letters = {"right": "A", "wrong": "B", "unsure": "C"}
    texts = ["right", "right", "wrong", "unsure"]
    predictions = [Prediction(id=f"q{n}", prediction=text) for n, text in enumerate(texts)]
    path = written(tmp_path / "p.jsonl", questions, predictions)

    def reply(body):
        prompt = body["messages"][0]["content"]
        return chat_answer(next(letters[text] for text in letters if f"Answer: {text}" in prompt))

    async def judged(url):
        async with OpenAIClient(Server(url=url, model="j")) as client:
            scorers = official_scorers("simpleqa", judge=lambda form: LLMJudge(client, "j", form))
            return await score_file(path, questions, scorers)

    with scripted(reply) as server:
        found = asyncio.run(judged(server.url)).headline
    overall, given = 2 / 5, 2 / 3
    assert found.average == pytest.approx(overall)
    assert found.more == pytest.approx(
        {
            "attempted": 3 / 5,
            "correct given attempted": given,
            "F1 of both": 2 * overall * given / (overall + given),
        }
    )


def test_mathematics_is_verified_and_a_tolerance_holds(tmp_path):
    questions = made([[r"\frac{1}{2}"], ["27"], ["3.1416"]], scorer="maths")
    predictions = [
        Prediction(id="q0", prediction=r"so it is \boxed{0.5}"),
        Prediction(id="q1", prediction="28"),
        Prediction(id="q2", prediction="3.14"),
    ]
    path = written(tmp_path / "p.jsonl", questions, predictions)
    with MathsScorer(reading="whole", workers=1, seconds=10) as maths:
        found = score(path, questions, official_scorers("maths", maths=maths))
        assert found.headline.average == pytest.approx(1 / 3)
        near = made([["3.1416"]], scorer="maths", metadata={"tolerance": "0.01"})
        path = written(tmp_path / "q.jsonl", near, [Prediction(id="q0", prediction="3.14")])
        assert score(path, near, official_scorers("maths", maths=maths)).headline.average == 1.0


@pytest.mark.parametrize("name", sorted({form.scorer for form in FORMS.values()}))
def test_every_set_has_its_official_scorers(name):
    with MathsScorer(reading="whole", workers=1) as maths:
        scorers = official_scorers(
            name, maths=maths, judge=lambda form: LLMJudge(None, "j", form), also_judge="arpo"
        )
    assert scorers[0].binary
    assert scorers[-1].name == "judge:arpo"


def test_a_scorer_without_what_it_needs_is_refused():
    with pytest.raises(ConfigError, match="OpenAI-compatible server"):
        official_scorers("hle")
    with pytest.raises(ConfigError, match="MathsScorer"):
        official_scorers("maths")
    with pytest.raises(UnknownNameError, match="gaia"):
        official_scorers("gaja")


def test_predictions_of_another_set_and_hidden_answers_are_refused(tmp_path):
    questions = made([["cat"]])
    path = written(tmp_path / "p.jsonl", questions, [Prediction(id="q0", prediction="cat")])
    with pytest.raises(DataError, match="has hash"):
        score(path, made([["b"]]))
    path.write_text('{"id": "other", "prediction": "cat"}\n')
    with pytest.raises(DataError, match="does not have: other"):
        score(path, questions)
    hidden = made([[]])
    with pytest.raises(DataError, match="answers of made/test are hidden"):
        score(written(path, hidden, []), hidden)


def test_a_part_of_a_run_can_be_scored_as_a_set_of_its_own(tmp_path):
    questions = made([["cat"], ["dog"]])
    predictions = [Prediction(id="q0", prediction="cat"), Prediction(id="q1", prediction="cat")]
    path = written(tmp_path / "p.jsonl", questions, predictions)
    part = replace(questions, questions=questions.questions[:1], subset="first1")
    with pytest.raises(DataError, match="only a part"):
        score(path, part)
    report = score(path, part, part=True)
    assert (report.questions, report.size) == ("made/test/first1", 1)
    assert report.headline.average == 1.0


def test_reports_name_everything_that_belongs_to_the_numbers(tmp_path):
    rows = write_lines(tmp_path / "metadata.jsonl", GAIA_ROWS)
    questions = load_questions("gaia", path=rows)
    predictions = [
        Prediction(id="g-1", prediction="2", transcript="<b>said</b>"),
        Prediction(id="g-2", prediction="5"),
    ]
    score(written(tmp_path / "p.jsonl", questions, predictions), questions, output=tmp_path / "o")
    data = json.loads((tmp_path / "o" / "p.report.json").read_text())
    assert (data["questions"], data["size"], data["hash"]) == (
        "gaia/validation",
        4,
        questions.hash,
    )
    text = (tmp_path / "o" / "p.report.txt").read_text()
    page = (tmp_path / "o" / "p.report.html").read_text()
    for part in ("gaia/validation, 4 questions", "someone", "level 1", "Wilson", "size differs"):
        assert part in text
        assert part in page
    assert "What is 1 plus 1?" not in page  # GAIA's questions are not to be published
    assert "said" not in page
    assert "<script" not in page
    assert "http" not in page.replace("</html>", "")


def test_pages_of_open_sets_show_questions_and_escape_what_was_said(tmp_path):
    questions = made([["<i>a</i>"]])
    turn = {"role": "user", "content": "<b>line\nby line"}
    said = Prediction(id="q0", prediction="<script>x</script>", transcript=[turn])
    score(written(tmp_path / "p.jsonl", questions, [said]), questions)
    page = (tmp_path / "p.report.html").read_text()
    assert "Question number 0?" in page
    assert "&lt;i&gt;a&lt;/i&gt;" in page
    assert "<script" not in page
    assert "[user]\n&lt;b&gt;line\nby line" in page


def test_scores_between_0_and_1_have_a_bootstrap_interval(tmp_path):
    questions = made([["red cat"], ["cat"], ["d"]])
    predictions = [Prediction(id="q0", prediction="red"), Prediction(id="q1", prediction="cat")]
    report = score(written(tmp_path / "p.jsonl", questions, predictions), questions)
    f1 = report.rows[0].scores["token_f1"]
    assert f1.average == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert f1.pass_at == f1.maj_at == {}
    assert f1.interval == bootstrap_interval([2 / 3, 1.0, 0.0])
    low, high = bootstrap_interval([0.5] * 10)
    assert low == high == 0.5
    low, high = bootstrap_interval([0.0, 1.0] * 200)
    assert (low, high) == pytest.approx((0.45, 0.55), abs=0.02)


def test_shared_gaia_like_answers_score_full_marks(shared, tmp_path):
    questions = load_questions("gaia", data_dir=shared / "data" / "gaia_like")
    predictions = [Prediction(id=row.id, prediction=row.answers[0]) for row in questions]
    report = score(written(tmp_path / "p.jsonl", questions, predictions), questions)
    assert [row.name for row in report.rows] == ["all", "level 1", "level 2", "level 3"]
    assert all(row.scores["gaia"].average == 1.0 for row in report.rows)
