"""The case bank: similarity, files, prompt text, and the learned retriever."""

from __future__ import annotations

import json
import math
import random

import pytest
import torch

from agentrl.algorithms.memory.cases import (
    Case,
    CaseBank,
    Found,
    HashingEmbedder,
    Pair,
    RetrieverSettings,
    file,
    render,
    train,
)
from agentrl.algorithms.memory.cases.embedding import unit
from agentrl.algorithms.memory.cases.retriever import _Training, area_under_curve, stratified_split
from agentrl.errors import ConfigError, DataError

TASKS = ["put the red mug on the shelf", "boil some water", "buy a pair of running shoes"]
SMALL = HashingEmbedder(dimensions=256)


def bank(**settings):
    made = CaseBank(SMALL, **settings)
    for number, task in enumerate(TASKS):
        made.add(Case(task, f"plan {number}", float(number % 2)))
    return made


def test_the_most_similar_task_comes_first():
    found = bank().retrieve("put a blue mug on a shelf", k=2)
    assert len(found) == 2
    assert found[0].index == 0
    assert found[0].score > found[1].score
    assert bank().retrieve("Boil WATER!")[0].case.task == TASKS[1]
    same = bank().retrieve(TASKS[2], k=9)
    assert len(same) == 3
    assert same[0].score == pytest.approx(1)
    assert [entry.positive for entry in sorted(same, key=lambda e: e.index)] == [False, True, False]


def test_an_empty_bank_finds_nothing_and_equal_scores_keep_their_order():
    assert CaseBank().retrieve("anything") == []
    made = CaseBank(SMALL)
    for number in range(4):
        made.add(Case("same", str(number), 1.0))
    assert [entry.case.plan for entry in made.retrieve("same", k=3)] == ["0", "1", "2"]
    assert [entry.score for entry in made.retrieve("", k=1)] == [0]


def test_common_words_count_less_than_rare_ones():
    words = HashingEmbedder(words=1, characters=0)
    texts = ["go to the kitchen", "go to the garden", "go to the cellar", "find the lamp"]
    weights = words.weights(words.embed(texts))
    counts = {"the": 4, "go": 3, "lamp": 1, "moon": 0}
    for word, count in counts.items():
        place = int(words.embed([word])[0].nonzero())
        assert float(weights[place]) == pytest.approx(math.log(5 / (1 + count)) + 1)


def test_rare_words_decide_what_is_similar():
    """Unweighted, the three words in common with the first task would outweigh the lamp."""
    made = CaseBank(HashingEmbedder(words=1, characters=0))
    for task in ("go to the kitchen", "go to the garden", "go to the hall", "bring lamp"):
        made.add(Case(task, "", 1.0))
    assert made.retrieve("go to the lamp", k=1)[0].index != 3
    for _ in range(8):
        made.add(Case("go to the attic", "", 1.0))
    assert made.retrieve("go to the lamp", k=1)[0].index == 3


def test_hashed_vectors_are_pinned_and_count_sublinearly():
    words = HashingEmbedder(dimensions=64, words=1, characters=0)
    one, three = words.embed(["mug", "mug mug mug"])
    place = int(one.nonzero())
    assert (place, float(one[place])) == (7, 1)
    assert float(three[place]) == pytest.approx(1 + math.log(3))
    assert {float(words.embed([word]).sum()) for word in ("mug", "bowl", "cup", "jar")} == {-1, 1}
    pairs = HashingEmbedder(dimensions=4096, words=2, characters=0)
    assert len(pairs.embed(["red mug red mug"])[0].nonzero()) == 4  # red, mug, red mug, mug red
    pieces = HashingEmbedder(dimensions=4096, words=0, characters=3)
    assert len(pieces.embed(["mug"])[0].nonzero()) == 3  # <mu, mug, ug>
    assert not pieces.embed(["?!"]).any()
    assert not unit(pieces.embed(["?!"])).any()


def test_size_and_distinct_cases():
    made = CaseBank(SMALL, max_cases=2, distinct=True)
    made.add(Case("a", "p", 0.0))
    made.add(Case("b", "p", 0.0))
    made.add(Case("a", "p", 1.0))
    assert [(case.task, case.reward) for case in made.cases] == [("b", 0.0), ("a", 1.0)]
    made.add(Case("a", "q", 1.0))
    assert [(case.task, case.plan) for case in made.cases] == [("a", "p"), ("a", "q")]
    plain = bank(max_cases=2)
    assert [case.task for case in plain.cases] == TASKS[1:]
    assert plain.retrieve(TASKS[0], k=5)[0].index in (0, 1)
    assert len(plain.retrieve(TASKS[0], k=5)) == 2


def test_a_small_bank_forgets_the_vectors_of_dropped_cases():
    made = CaseBank(HashingEmbedder(), max_cases=2)
    for number in range(100):
        made.add(Case(f"task {number}", "p", 1.0))
        assert made.retrieve(f"task {number}", k=1)[0].case.task == f"task {number}"
    assert len(made._vectors) <= 4 * 2 + 64


def test_success_is_a_matter_of_the_reward():
    made = bank(success_at=0.5)
    made.add(Case("half", "p", 0.5))
    assert made.retrieve("half", k=1)[0].positive
    assert not bank(success_at=2.0).retrieve(TASKS[1], k=1)[0].positive


def test_the_prompt_lists_successes_then_failures():
    found = [
        Found(Case(f"t{n}", f"p{n}", float(good)), 1.0, good, n)
        for n, good in enumerate([False, True, False, True, True])
    ]
    text = render(found, limit=2)
    order = [text.index(mark) for mark in ("worked:", "t1", "t3", "failed:", "t0", "t2", "avoid")]
    assert order == sorted(order)
    assert "t4" not in text
    assert "1. Task: t1\n   Plan: p1" in text
    assert render([]) == ""
    assert "failed:" not in render(found[1:2])


def test_a_file_grows_with_the_bank_and_brings_it_back(tmp_path):
    path = tmp_path / "deep" / "cases.jsonl"
    made = CaseBank(SMALL, path=path, max_cases=3)
    for number in range(4):
        made.add(Case(f"täsk\n{number}", "p", 0.5))
    assert len(path.read_bytes().splitlines()) == 4
    again = CaseBank(SMALL, path=path, max_cases=3)
    assert again.cases == made.cases
    again.save()
    assert len(path.read_bytes().splitlines()) == 3
    assert [entry.name for entry in path.parent.iterdir()] == ["cases.jsonl"]
    made.save(tmp_path / "copy.jsonl")
    assert CaseBank(path=tmp_path / "copy.jsonl").cases == made.cases
    with pytest.raises(ConfigError, match="path"):
        CaseBank().save()


def test_a_line_that_a_killed_writer_began_is_left_out_and_cut_off(tmp_path):
    path = tmp_path / "cases.jsonl"
    made = CaseBank(SMALL, path=path)
    made.add(Case("a", "p", 1.0))
    with path.open("ab") as log:
        log.write(b'{"task": "b", "pl')
    again = CaseBank(SMALL, path=path)
    assert again.cases == made.cases
    again.add(Case("c", "p", 0.0))
    assert [case.task for case in file.read(path)] == ["a", "c"]


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"task": "a", "plan": "p"}', '{"task": 1, "plan": "p", "reward": 1}']
)
def test_a_damaged_line_is_named(tmp_path, text):
    path = tmp_path / "cases.jsonl"
    good = json.dumps({"task": "a", "plan": "p", "reward": 1})
    path.write_text(f"{good}\n{text}\n{good}\n")
    with pytest.raises(DataError, match=r"cases.jsonl, line 2"):
        CaseBank(path=path)


def test_a_failed_save_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "cases.jsonl"
    made = CaseBank(SMALL, path=path)
    made.add(Case("a", "p", 1.0))
    before = path.read_bytes()
    monkeypatch.setattr(file.os, "fsync", lambda handle: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        made.save()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_area_under_the_curve():
    scores = torch.tensor([0.9, 0.4, 0.4, 0.1])
    labels = torch.tensor([True, True, False, False])
    assert area_under_curve(scores, labels) == pytest.approx(3.5 / 4)
    assert math.isnan(area_under_curve(scores, torch.ones(4, dtype=torch.bool)))


@pytest.mark.parametrize(("successes", "failures"), [(1, 1), (2, 30), (25, 5), (0, 7), (16, 38)])
def test_a_split_holds_every_pair_once_and_either_label(successes, failures):
    labels = [True] * successes + [False] * failures
    random.Random(0).shuffle(labels)
    kept, aside = stratified_split(labels, 0.1, seed=5)
    assert sorted(kept + aside) == list(range(len(labels)))
    assert kept
    if min(successes, failures) > 1:
        assert sum(labels[at] for at in aside) == max(1, successes // 10)
        assert sum(not labels[at] for at in aside) == max(1, failures // 10)
    assert stratified_split(labels, 0.1, seed=5) == (kept, aside)


def pairs(count=160, seed=0):
    """Showing a plan helps if it names the task's colour."""
    source, colours = random.Random(seed), ("red", "green")
    made = []
    for number in range(count):
        task, plan = source.choice(colours), source.choice(colours)
        success = task == plan and number % 4 != 3  # fewer successes than failures
        made.append(Pair(f"fetch the {task} box", f"get {plan}", success))
    return made


TINY = HashingEmbedder(dimensions=64, words=1, characters=0)
QUICK = RetrieverSettings(hidden=32, epochs=15, learning_rate=0.02)


def test_the_retriever_learns_what_similarity_cannot_see():
    """Tasks are alike; which plan they were solved by decides."""
    made = CaseBank(TINY, retriever=QUICK)
    for plan in ("get red", "get green", "get blue"):
        made.add(Case("fetch the box", plan, 1.0))
    task = "fetch a box"
    assert made.retrieve(task, k=1)[0].case.plan == "get red"
    source = random.Random(3)
    for _ in range(120):
        shown = [source.choice(made.retrieve(task, k=3))]
        made.record(task, shown, float(shown[0].case.plan == "get green"))
    assert max(made.fit().curve) == 1
    found = made.retrieve(task, 3, "learned")
    assert found[0].case.plan == "get green"
    assert 1 >= found[0].score > found[1].score >= found[2].score >= 0


def test_training_is_repeatable_and_leaves_the_random_state_alone():
    torch.manual_seed(11)
    before = torch.random.get_rng_state()
    one = train(pairs(), TINY, QUICK)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(12)
    two = train(pairs(), TINY, QUICK)
    assert one.curve == two.curve
    assert all(
        torch.equal(a, b)
        for a, b in zip(one.retriever.parameters(), two.retriever.parameters(), strict=True)
    )
    assert one.curve != train(pairs(), TINY, RetrieverSettings(hidden=32, epochs=15, seed=1)).curve


def train_with_curve(monkeypatch, curve, given, settings):
    """Train with a given validation curve; return the result and the weights of every epoch."""
    left, weights = list(curve), []

    def validate(training):
        weights.append([tensor.clone() for tensor in training.retriever.parameters()])
        return left.pop(0)

    monkeypatch.setattr(_Training, "_validate", validate)
    return train(given, TINY, settings), weights


@pytest.mark.parametrize(("curve", "best"), [((0.5, 0.9, 0.9, 0.2), 1), ((0.1, 0.2, 0.3, 0.4), 3)])
def test_the_earliest_best_epoch_is_kept(monkeypatch, curve, best):
    settings = RetrieverSettings(hidden=8, epochs=4, learning_rate=0.02)
    trained, weights = train_with_curve(monkeypatch, curve, pairs(40), settings)
    kept = list(trained.retriever.parameters())
    same = [all(map(torch.equal, kept, epoch)) for epoch in weights]
    assert same == [epoch == best for epoch in range(4)]
    assert trained.curve == curve
    assert not trained.retriever.training


def test_rare_successes_weigh_more(monkeypatch):
    """With nothing to learn from, the weighted share of both labels is even."""
    same = [Pair("t", "c", number % 5 == 0) for number in range(100)]
    settings = RetrieverSettings(hidden=4, epochs=30, learning_rate=0.05, dropout=0.0)
    trained, _ = train_with_curve(monkeypatch, range(30), same, settings)
    score = trained.retriever.score(TINY.embed(["t"])[0], TINY.embed(["c"]))
    assert float(score) == pytest.approx(0.5, abs=0.06)


def test_the_learning_rate_rises_and_falls():
    labels = torch.tensor([True, False] * 10)
    vectors = torch.ones(20, 2)
    settings = RetrieverSettings(hidden=1, epochs=5, batch_size=9, warmup=0.3, learning_rate=1.0)
    training = _Training(vectors, vectors, labels, settings)
    rates = []
    for _ in range(10):
        rates.append(training.schedule.get_last_lr()[0])
        training.optimizer.step()
        training.schedule.step()
    assert training.steps == 10
    assert rates == pytest.approx([0, 1 / 3, 2 / 3, 1, 6 / 7, 5 / 7, 4 / 7, 3 / 7, 2 / 7, 1 / 7])


def test_too_few_pairs_and_untrained_search():
    made = bank()
    with pytest.raises(ConfigError, match="not trained"):
        made.retrieve("x", mode="learned")
    made.record("t", made.retrieve(TASKS[0], 2), 1.0)
    with pytest.raises(ConfigError, match=r"2 and 0"):
        made.fit()
    with pytest.raises(ConfigError, match=r"mode.*similarity, learned"):
        made.retrieve("x", mode="both")
    with pytest.raises(ConfigError, match="`k`"):
        made.retrieve("x", k=0)


def test_state_goes_round(tmp_path):
    made = CaseBank(TINY, retriever=QUICK, path=tmp_path / "a.jsonl")
    for number in range(6):
        made.add(Case(f"task {number}", "plan", float(number % 2)))
    made.pairs = pairs(40)
    made.fit()
    state = made.state_dict()
    json.dumps([state["cases"], state["pairs"]])
    torch.save(state, tmp_path / "state.pt")
    loaded = torch.load(tmp_path / "state.pt", weights_only=True)
    other = CaseBank(TINY, retriever=QUICK, path=tmp_path / "b.jsonl")
    other.add(Case("later", "gone", 1.0))
    other.load_state_dict(loaded)
    assert other.cases == made.cases
    assert other.pairs == made.pairs
    for mode in ("similarity", "learned"):
        assert other.retrieve("task 3", 3, mode) == made.retrieve("task 3", 3, mode)
    assert (tmp_path / "b.jsonl").read_bytes() == (tmp_path / "a.jsonl").read_bytes()
    wider = CaseBank(SMALL, retriever=QUICK)
    with pytest.raises(DataError, match="does not fit"):
        wider.load_state_dict(state)
    assert not wider.cases


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (HashingEmbedder, {"dimensions": 0}, "dimensions"),
        (HashingEmbedder, {"words": 0, "characters": 0}, "both 0"),
        (CaseBank, {"max_cases": 0}, "max_cases"),
        (RetrieverSettings, {"hidden": 0}, "hidden"),
        (RetrieverSettings, {"dropout": 1.0}, "dropout"),
        (RetrieverSettings, {"learning_rate": 0}, "learning_rate"),
        (RetrieverSettings, {"weight_decay": -1}, "weight_decay"),
        (RetrieverSettings, {"warmup": 2}, "warmup"),
        (RetrieverSettings, {"batch_size": 0}, "batch_size"),
        (RetrieverSettings, {"epochs": 0}, "epochs"),
        (RetrieverSettings, {"validation": 0.6}, "validation"),
    ],
)
def test_wrong_settings(kind, settings, message):
    with pytest.raises(ConfigError, match=message):
        kind(**settings)
