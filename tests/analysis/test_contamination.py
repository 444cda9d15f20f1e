"""`--tool self-critique` on a trained run, and the answers it asks for."""

import asyncio
import json
import math

import pytest
import torch

from agentrl.analysis.answers import CRITIQUE, Asker, Question, detector_scores, moments
from agentrl.engines.embedded import EmbeddedEngine
from agentrl.envs.textworld import CompactPrompt
from agentrl.models.attention import install
from agentrl.rollout.episode import EpisodeSettings
from agentrl.tokens import ContextMode, Renderer
from agentrl.types import Task

QUESTION = Question(Task(id="t", env_id="tests/Env-v0"), None, "You are in the kitchen.")


def asker(model, tokenizer, max_tokens=6, max_context=512):
    settings = EpisodeSettings(
        renderer=Renderer(tokenizer),
        prompt=CompactPrompt(),
        context=ContextMode(),
        max_turns=1,
        max_tokens_per_turn=max_tokens,
        max_context=max_context,
    )
    engine = EmbeddedEngine(model, tokenizer, max_context=max_context)
    return Asker(engine, settings, max_tokens, seed=0)


def ask(asker, question=QUESTION, **options):
    async def run():
        try:
            return await asker.ask(question, **options)
        finally:
            await asker.engine.close()

    return asyncio.run(run())


def test_answers_are_greedy_and_the_second_prompt_shows_the_first_answer(
    tiny_model, tiny_tokenizer
):
    one = asker(tiny_model, tiny_tokenizer)
    seen = []
    generate = one.engine.generate

    async def remember(prompt, params, **rest):
        seen.append((list(prompt), params))
        return await generate(prompt, params, **rest)

    one.engine.generate = remember
    found = ask(one)
    assert [params.temperature for _, params in seen] == [0.0, 0.0]
    shown = one.settings.renderer.parse(found.first.ids).text
    wanted = one._prompt(QUESTION, QUESTION.message + CRITIQUE.format(answer=shown))
    assert seen[1][0] == wanted
    assert len(found.first.entropies) == len(found.first.ids)
    again = ask(asker(tiny_model, tiny_tokenizer))
    assert again.first.ids == found.first.ids and again.critique.ids == found.critique.ids


def test_a_prompt_that_fills_the_context_has_no_answer_and_a_tight_one_no_second(
    tiny_model, tiny_tokenizer
):
    length = len(asker(tiny_model, tiny_tokenizer)._prompt(QUESTION, QUESTION.message))
    assert ask(asker(tiny_model, tiny_tokenizer, max_context=length)) is None
    found = ask(asker(tiny_model, tiny_tokenizer, max_context=length + 3))
    assert len(found.first.ids) <= 3 and found.critique is None
    assert math.isnan(detector_scores(found, tiny_model)["Self-Critique"])


def test_baselines_ask_the_changed_prompt_and_samples_that_differ(tiny_model, tiny_tokenizer):
    found = ask(asker(tiny_model, tiny_tokenizer), baselines=True, samples=4)
    assert found.perturbed is not None and len(found.samples) == 4
    assert len({tuple(sample.ids) for sample in found.samples}) > 1
    scores = detector_scores(found, tiny_model, baselines=True)
    assert len(scores) == 7 and all(math.isfinite(score) for score in scores.values())


def test_moments_are_those_of_the_whole_vocabulary(tiny_model, tiny_tokenizer):
    prompt, answer = [5, 6, 7, 8], [9, 10, 11]
    with torch.no_grad():
        logits = tiny_model(torch.tensor([prompt + answer])).logits[0, 3:-1].double()
    logs = torch.log_softmax(logits, -1)
    mean = (logs.exp() * logs).sum(-1)
    variance = (logs.exp() * (logs - mean[:, None]) ** 2).sum(-1)
    install(tiny_model)
    means, deviations = moments(tiny_model, prompt, answer)
    assert means == pytest.approx(mean.tolist(), rel=1e-4)
    assert deviations == pytest.approx(variance.sqrt().tolist(), rel=1e-3)


def analyse(run_agentrl, finished_run, out, *options):
    status, output, error = run_agentrl(
        *("analyse", str(finished_run), "--tool", "self-critique", "--out", str(out), *options)
    )
    assert (status, error) == (0, "")
    return output, json.loads((out / "self-critique.json").read_text())


def test_the_training_panel_is_held_against_the_held_out_one(run_agentrl, finished_run, tmp_path):
    output, numbers = analyse(run_agentrl, finished_run, tmp_path, "--tasks", "2")
    assert sorted(task["label"] for task in numbers["tasks"]) == [0, 0, 1, 1]
    scores = [task["Self-Critique"] for task in numbers["tasks"]]
    assert scores == sorted(scores, reverse=True)
    assert set(numbers["quality"]) == {"Self-Critique"}
    assert "AUC" in output and "step-000004" in output


def test_labels_choose_the_tasks(run_agentrl, finished_run, tmp_path):
    _, numbers = analyse(run_agentrl, finished_run, tmp_path, "--tasks", "0")
    names = [task["task"] for task in numbers["tasks"]]
    (tmp_path / "labels.json").write_text(json.dumps({names[0]: 1, names[1]: 1}))
    output, numbers = analyse(
        run_agentrl, finished_run, tmp_path, "--labels", str(tmp_path / "labels.json")
    )
    assert {task["task"] for task in numbers["tasks"]} == set(names[:2])
    assert "same label" in output and "AUC" not in output


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read"),
        ("{", "is no JSON"),
        ('["a"]', "must be a JSON object"),
        ('{"a": 2}', "must be a JSON object"),
        ('{"nowhere": 1}', "Unknown task"),
    ],
)
def test_wrong_labels_are_refused(run_agentrl, finished_run, tmp_path, text, said):
    path = tmp_path / "labels.json"
    if text is not None:
        path.write_text(text)
    status, _, error = run_agentrl(
        *("analyse", str(finished_run), "--tool", "self-critique", "--labels", str(path))
    )
    assert status == 2 and said in error
