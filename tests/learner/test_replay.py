"""Rows that are kept from one rollout and trained again in a later update."""

import copy
import io
import math
import random
from collections.abc import Callable
from statistics import median
from typing import Any

import pytest
import torch
from learner_samples import (
    VOCAB,
    gradients,
    make_task,
    parameters,
    plain_stats,
    random_forest,
    relative,
    tiny_model,
)

from agentrl.algorithms import get
from agentrl.learner import Learner, LearnerSettings
from agentrl.learner.optimizer import Optimizer
from agentrl.learner.replay import Replayed, RowReplay
from agentrl.learner.rows import Row, Rows, rows
from agentrl.tree import Episode, Forest, StopReason, Tree, Writer

BARE = {
    "bag_of_tricks": False,
    "toolcall_schedule": "none",
    "cov_fraction": 0,
    "replay_cov_fraction": 0,
}
"""SPEAR as GRPO with a replay and nothing else."""


def window_tree(seed: int, name: str) -> Tree:
    """Episodes whose every turn is a sequence of its own."""
    rng = random.Random(seed)
    tree = Tree(id=name, task=make_task(seed))
    for number in range(5):
        sequences = []
        for turn in range(rng.randint(1, 3)):
            prompt = [rng.randrange(VOCAB) for _ in range(5)]
            root = tree.add(None, Writer.ENVIRONMENT, prompt, turn=turn)
            ids = [rng.randrange(VOCAB) for _ in range(rng.randint(2, 4))]
            logprobs = [-1.0] * len(ids)
            sequences.append(tree.add(root.id, Writer.MODEL, ids, turn=turn, logprobs=logprobs).id)
        reward = rng.choice([0.0, 1.0]) + rng.random()
        tree.episodes.append(
            Episode(id=number, sequences=sequences, stop=StopReason.TERMINATED, reward=reward)
        )
    return tree


def forest_of(layout: str, seed: int) -> Forest:
    if layout == "full":
        return random_forest(seed, trees=4)
    return Forest([window_tree(100 * seed + n, f"tree-{n}") for n in range(4)])


def make(model: Any, algorithm: Any = None, **settings: Any) -> Learner:
    algorithm = algorithm or get("spear", **BARE, buffer_rows=4, replay_warmup_steps=4)
    settings = {"learning_rate": 1e-2} | settings
    return Learner(model, algorithm, LearnerSettings(**settings), seed=5)


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> list[Replayed]:
    """A list that fills with what is replayed."""
    found: list[Replayed] = []
    select = RowReplay.select

    def noted(self: RowReplay, step: int, generator: torch.Generator) -> Replayed | None:
        result = select(self, step, generator)
        found.extend([] if result is None else [result])
        return result

    monkeypatch.setattr(RowReplay, "select", noted)
    return found


@pytest.fixture
def replay_steps(monkeypatch: pytest.MonkeyPatch) -> Callable[[Learner], list[Any]]:
    """A function: what each replay step of a learner has as gradient, and the model before it."""

    def record(learner: Learner) -> list[Any]:
        found: list[Any] = []
        step = Optimizer.step

        def noted(self: Optimizer, loss: torch.Tensor, *args: Any, counts: bool = True) -> Any:
            if not counts:
                found.append((gradients(learner.model), copy.deepcopy(learner.model)))
            return step(self, loss, *args, counts=counts)

        monkeypatch.setattr(Optimizer, "step", noted)
        return found

    return record


def key(found: Rows, row: Row, reward: float) -> tuple[float, ...]:
    """The tokens of a row's sequence, its own ones and its return: random, so they name it."""
    ids = found.trees[row.tree].ids(row.last)
    own = [token for node in found.spans(row) for token in node.ids]
    return (round(reward, 4), *ids, -1, *own)


class PlainBuffer:
    """SPEAR's rules in loops over episodes, knowing nothing of masks, trees and batches."""

    def __init__(self) -> None:
        self.means: list[float] = []
        self.rows: dict[tuple[float, ...], tuple[float, torch.Tensor, list[float]]] = {}

    def add(self, model: Any, forest: Forest) -> None:
        found = rows(forest)
        with torch.no_grad():
            logprobs, _ = plain_stats(copy.deepcopy(model), found)
        for number, tree in enumerate(forest.trees):
            returns = [episode.reward for episode in tree.counted()]
            if not returns:
                continue
            mean = sum(returns) / len(returns)
            self.means.append(mean)
            for index, row in enumerate(found.rows):
                reward = tree.episodes[row.episode].reward
                lone = len(returns) == 1
                if row.tree == number and (reward > mean or (lone and reward > 0)):
                    count = sum(len(node.ids) for node in found.spans(row))
                    engine = [value for node in found.spans(row) for value in node.logprobs]
                    old = logprobs[index, :count]
                    self.rows[key(found, row, reward)] = (reward, old, engine)

    def loss(self, model: Any, replayed: Replayed, gamma: float, cap: float) -> torch.Tensor:
        """gamma / D sum_i 1/n_i sum_t w max(-A r, -A clip(r, 0.8, 1.2)), A = R - P50.

        w = min(pi_old / pi_engine, cap) of the time the row was sampled; 1 for a cap of 0.
        """
        found, total = replayed.rows, torch.zeros((), dtype=torch.float64)
        logprobs, _ = plain_stats(model, found)
        for index, row in enumerate(found.rows):
            reward, old, engine = self.rows[key(found, row, float(found.batch.returns_B[index]))]
            advantage = reward - median(self.means)
            assert advantage > 0
            terms = []
            for now, before, sampled in zip(logprobs[index], old, engine, strict=False):
                ratio = (now - before).exp()
                clipped = ratio.clamp(0.8, 1.2)
                weight = min(math.exp(float(before) - sampled), cap) if cap else 1.0
                terms.append(weight * torch.maximum(-advantage * ratio, -advantage * clipped))
            total = total + sum(terms) / len(terms)
        return gamma * total / len(found.rows)


@pytest.mark.parametrize("layout", ["full", "window"])
@pytest.mark.parametrize(("budget", "cap"), [(50, 0.0), (10_000, 0.0), (50, 2.0)])
def test_replay_steps_equal_a_plain_loop(
    layout: str, budget: int, cap: float, chosen: list[Replayed], replay_steps: Any
) -> None:
    algorithm = get(
        "spear",
        **BARE,
        buffer_rows=4,
        replay_warmup_steps=4,
        behaviour="token-tis" if cap else "none",
    )
    learner = make(tiny_model(), algorithm, microbatch_tokens=budget)
    plain, steps, losses = PlainBuffer(), replay_steps(learner), []
    gammas = [(1 - c) / 2 for c in (1.0, 0.5**0.5, 0.0, -(0.5**0.5))]
    for seed, gamma in enumerate(gammas):
        forest = forest_of(layout, seed)
        before = copy.deepcopy(learner.model)
        report = learner.update(forest)
        if report["replay/rows"]:
            gradient, model = steps[-1]
            model.zero_grad()
            loss = plain.loss(model, chosen[-1], gamma, cap)
            loss.backward()
            value = float(loss.detach())
            assert relative(gradient, gradients(model)) < 1e-6  # advantages are float32
            assert report["replay/loss"] * gamma == pytest.approx(value, rel=1e-6)
            assert report["replay/weight"] == pytest.approx(gamma)
            losses.append(value)
            plain.rows.clear()  # the buffer is emptied
        plain.add(before, forest)
    assert losses


@pytest.mark.parametrize("layout", ["full", "window"])
@pytest.mark.parametrize("base", ["grpo", "gigpo"])
def test_without_a_ready_buffer_an_update_is_that_of_the_base_method(
    layout: str, base: str
) -> None:
    algorithm = get("spear", base=base, cov_low=0.0)  # large buffer, weights that draw
    with_buffer = make(tiny_model(dtype=torch.float32), algorithm, updates_per_step=2)
    without = make(
        tiny_model(dtype=torch.float32),
        get("spear", base=base, cov_low=0.0, replay=None),
        updates_per_step=2,
    )
    for seed in range(3):
        forest = forest_of(layout, seed)
        for tree in forest.trees:
            for node in tree.nodes:
                node.info["anchor"] = "here"
        ours, theirs = with_buffer.update(forest), without.update(forest)
        assert ours["replay/rows"] == 0
        assert ours["replay/stored"] > 0
        del ours["seconds"], theirs["seconds"]
        assert {name: ours[name] for name in theirs} == theirs
    assert torch.equal(parameters(with_buffer.model), parameters(without.model))


@pytest.mark.parametrize("updates", [1, 3])
def test_every_chosen_row_is_trained_once_and_the_schedule_does_not_count_it(
    updates: int, chosen: list[Replayed], replay_steps: Any
) -> None:
    algorithm = get("spear", **BARE, buffer_rows=4, replay_warmup_steps=0, replay_updates=updates)
    learner = make(tiny_model(), algorithm, updates_per_step=2)
    steps, made = replay_steps(learner), 0.0
    for seed in range(4):
        report = learner.update(forest_of("window", seed))
        made += report["updates"]
    assert learner.steps == made
    assert len(steps) == updates * len(chosen) > 0
    for replayed in chosen:
        assert sorted(index for part in replayed.parts for index in part) == [0, 1, 2, 3]


def through_disk(state: Any) -> Any:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


@pytest.mark.parametrize("layout", ["full", "window"])
@pytest.mark.parametrize("stop_after", [0, 1, 2, 3])
def test_a_resumed_run_replays_the_same_rows_bit_for_bit(layout: str, stop_after: int) -> None:
    forests = [forest_of(layout, seed) for seed in range(5)]
    algorithm = get("spear", buffer_rows=6, replay_warmup_steps=3, replay_cov_low=0.0)
    learner = make(tiny_model(dtype=torch.float32), algorithm, updates_per_step=2)
    saved: Any = None
    reports = []
    for step, forest in enumerate(forests):
        if step == stop_after:
            saved = through_disk((learner.state_dict(), learner.model.state_dict()))
            kept = learner.state_dict()["replay"]
        reports.append(learner.update(forest))
    assert sum(report["replay/rows"] for report in reports[stop_after:]) > 0
    again = make(tiny_model(dtype=torch.float32), algorithm, updates_per_step=2)
    again.model.load_state_dict(saved[1])
    again.load_state_dict(saved[0])
    same(again.state_dict()["replay"], kept)
    for report, forest in zip(reports[stop_after:], forests[stop_after:], strict=True):
        repeated = again.update(forest)
        assert {k: v for k, v in repeated.items() if k != "seconds"} == {
            k: v for k, v in report.items() if k != "seconds"
        }
    assert torch.equal(parameters(learner.model), parameters(again.model))


def same(ours: Any, theirs: Any) -> None:
    """Assert that two nested states hold the same numbers."""
    assert type(ours) is type(theirs)
    if isinstance(ours, torch.Tensor):
        assert ours.dtype == theirs.dtype
        assert torch.equal(ours, theirs)
    elif isinstance(ours, dict):
        assert ours.keys() == theirs.keys()
        for name in ours:
            same(ours[name], theirs[name])
    elif isinstance(ours, list):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            same(one, other)
    else:
        assert ours == theirs


def test_a_buffer_saved_without_the_engines_log_probs_is_read() -> None:
    algorithm = get("spear", **BARE, buffer_rows=4, behaviour="token-tis")
    learner = make(tiny_model(), algorithm)
    learner.update(forest_of("window", 0))
    state = learner.state_dict()
    for push in state["replay"]["pushes"]:
        del push["rollout_logprobs"]
    again = make(tiny_model(), algorithm)
    again.load_state_dict(state)
    assert again._replay is not None
    entries = again._replay.buffer.entries()
    assert entries
    for entry in entries:  # no correction
        stored = entry.payload
        assert torch.equal(stored.rollout_logprobs_T, stored.old_logprobs_T)


def test_rows_older_than_tolerated_are_not_replayed() -> None:
    tolerant = {"buffer_rows": 1, "replay_warmup_steps": 0}
    for tolerate, expected in ((0, 0.0), (1, 1.0)):
        algorithm = get("spear", **BARE, **tolerant, tolerate_steps=tolerate)
        learner = make(tiny_model(), algorithm)
        learner.update(forest_of("window", 0))
        report = learner.update(forest_of("window", 1))
        assert bool(report["replay/rows"]) == bool(expected)


def test_stored_trees_hold_the_paths_of_stored_rows_only_and_share_prefixes() -> None:
    forest = random_forest(3, trees=3)
    algorithm = get("spear", **BARE)
    learner = make(tiny_model(), algorithm)
    learner.update(forest)
    assert learner._replay is not None
    found, originals = learner._replay.buffer.entries(), {tree.id: tree for tree in forest.trees}
    assert found
    for entry in found:
        stored = entry.payload
        needed = {
            node.id
            for other in found
            if other.payload.tree is stored.tree
            for node in stored.tree.path(other.payload.nodes[-1])
        }
        assert needed == set(range(len(stored.tree.nodes)))
        original = originals[stored.tree.id]
        paths = {
            tuple(original.ids(last)[: len(stored.tree.ids(stored.nodes[-1]))])
            for episode in original.counted()
            for last in episode.sequences
        }
        assert tuple(stored.tree.ids(stored.nodes[-1])) in paths
    assert len({id(entry.payload.tree) for entry in found}) < len(found)


def test_rows_without_finite_log_probs_are_not_stored() -> None:
    learner = make(tiny_model(), get("spear", **BARE), max_bad_updates=5)
    with torch.no_grad():
        next(iter(learner.model.parameters())).fill_(float("nan"))
    report = learner.update(forest_of("window", 0))
    assert report["skipped"] == 1
    assert report["replay/stored"] == 0
