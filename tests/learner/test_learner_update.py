import copy
import math
import random
from dataclasses import replace
from typing import Any

import pytest
import torch
from learner_samples import (
    gradients,
    make_task,
    parameters,
    plain_stats,
    random_forest,
    relative,
    sampled,
    tiny_model,
)
from torch import nn

from agentrl.algorithms import Algorithm, Normaliser, estimate_advantages, get, policy_loss
from agentrl.algorithms.batch import Stat
from agentrl.errors import ConfigError, TrainingDiverged
from agentrl.learner import Learner, LearnerSettings
from agentrl.learner import measure as measure_module
from agentrl.learner.optimizer import Optimizer
from agentrl.learner.packing import split_by_tree
from agentrl.learner.rows import rows
from agentrl.tree import Episode, Forest, StopReason, Tree, Writer

FULL = {"kl_coefficient": 0.1, "entropy_coefficient": 0.05}
"""GRPO with every statistic: reference, entropy with gradient."""


class Gradient(Exception):
    """Carries the gradient an optimiser step would have used."""

    def __init__(self, loss: float, vector: torch.Tensor) -> None:
        super().__init__(loss)
        self.loss, self.vector = loss, vector


@pytest.fixture
def catch(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that returns loss and gradient of the first optimiser step of an update."""

    def caught(learner: Learner, forest: Forest) -> Gradient:
        def stop(self: Optimizer, loss: torch.Tensor, learning_rate: Any = None) -> None:
            raise Gradient(float(loss), gradients(learner.model))

        with monkeypatch.context() as patch:
            patch.setattr(Optimizer, "step", stop)
            with pytest.raises(Gradient) as found:
                learner.update(forest)
        learner.model.zero_grad()
        return found.value

    return caught


def make(
    model: nn.Module, algorithm: Algorithm | None = None, temperature: float = 1.0, **settings: Any
) -> Learner:
    settings = {"learning_rate": 1e-2} | settings
    algorithm = algorithm or get("grpo", **FULL)
    return Learner(model, algorithm, LearnerSettings(**settings), temperature=temperature)


def plain_update(
    model: nn.Module, reference: nn.Module, algorithm: Algorithm, forest: Forest, temperature: float
) -> tuple[float, torch.Tensor]:
    """Loss and gradient by one ordinary forward pass per row."""
    model.zero_grad()
    found = rows(forest)
    with torch.no_grad():
        ref_BT, _ = plain_stats(reference, found, temperature)
    batch = found.batch.with_stats({Stat.REF_LOGPROBS: ref_BT})
    logprobs_BT, entropy_BT = plain_stats(model, found, temperature)
    batch = batch.with_stats({Stat.OLD_LOGPROBS: logprobs_BT.detach()})
    batch = estimate_advantages(algorithm, batch)
    batch = batch.with_stats(
        {
            Stat.LOGPROBS: logprobs_BT,
            Stat.ENTROPY: entropy_BT.detach(),
            Stat.ENTROPY_GRAD: entropy_BT,
        }
    )
    loss = policy_loss(algorithm, batch, Normaliser.of(batch.mask_BT)).value
    loss.backward()
    return float(loss.detach()), gradients(model)


@pytest.mark.parametrize("family", ["qwen2", "qwen3", "llama"])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_an_update_equals_training_every_trajectory_separately(
    family: str, temperature: float, catch: Any
) -> None:
    forest, algorithm = random_forest(1), get("grpo", **FULL)
    model = tiny_model(family)
    reference = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.mul_(0.9)
    loss, gradient = plain_update(copy.deepcopy(model), reference, algorithm, forest, temperature)
    learner = Learner(model, algorithm, temperature=temperature, reference=reference)
    ours = catch(learner, forest)
    assert ours.loss == pytest.approx(loss, rel=1e-6)  # advantages are float32
    assert relative(ours.vector, gradient) < 1e-6


@pytest.mark.parametrize("name", ["grpo", "dr_grpo"])
@pytest.mark.parametrize("budget", [1, 30, 60])
def test_microbatch_size_changes_nothing(name: str, budget: int, catch: Any) -> None:
    forest, algorithm = random_forest(2, trees=4), get(name, entropy_coefficient=0.05)
    whole = catch(make(tiny_model(), algorithm), forest)
    cut = catch(make(tiny_model(), algorithm, microbatch_tokens=budget), forest)
    assert cut.loss == pytest.approx(whole.loss, rel=1e-9)
    assert relative(cut.vector, whole.vector) < 1e-9


def test_the_order_of_the_trees_changes_nothing(catch: Any) -> None:
    forest = random_forest(3, trees=4)
    plain = catch(make(tiny_model()), forest)
    turned = catch(make(tiny_model()), Forest(forest.trees[::-1]))
    assert relative(turned.vector, plain.vector) < 1e-9


def test_padding_changes_nothing(catch: Any) -> None:
    """A group with equal returns learns nothing but makes the batch much wider."""
    algorithm = get("grpo", kl_coefficient=0.0, aggregation="token-sum")
    forest, rng = random_forest(3, trees=2), random.Random(0)
    plain = catch(make(tiny_model(), algorithm), forest)
    wide = Tree(id="wide", task=make_task())
    prompt = wide.add(None, Writer.ENVIRONMENT, [1, 2])
    for number in range(2):
        node = sampled(wide, prompt.id, rng, 0, most=60)
        wide.episodes.append(
            Episode(id=number, sequences=[node.id], stop=StopReason.TERMINATED, reward=1.0)
        )
    padded = catch(make(tiny_model(), algorithm), Forest([*forest.trees, wide]))
    assert relative(padded.vector, plain.vector) < 1e-9


def test_the_length_norm_is_a_constant_of_the_run(catch: Any) -> None:
    algorithm, forest = get("dr_grpo"), random_forest(3)
    gradient = {}
    for length in (50, 100):
        learner = Learner(tiny_model(), algorithm, max_row_tokens=length)
        gradient[length] = catch(learner, forest).vector
    assert relative(2 * gradient[100], gradient[50]) < 1e-12


def test_failed_episodes_never_matter(catch: Any) -> None:
    with_failures, without = random_forest(4), random_forest(4)
    assert any(not e.counts for tree in with_failures.trees for e in tree.episodes)
    for tree in with_failures.trees:
        for episode in tree.episodes:
            if not episode.counts:
                episode.reward = 1e6
    for tree in without.trees:
        tree.episodes = [episode for episode in tree.episodes if episode.counts]
    ours = catch(make(tiny_model()), with_failures)
    assert torch.equal(ours.vector, catch(make(tiny_model()), without).vector)


def test_a_shared_span_receives_the_sum_of_its_episodes_gradients(catch: Any) -> None:
    """Two episodes share a sampled span; with opposite advantages it learns nothing."""
    tree = Tree(id="t", task=make_task())
    prompt = tree.add(None, Writer.ENVIRONMENT, [1, 2, 3])
    shared = tree.add(prompt.id, Writer.MODEL, [4, 5], logprobs=[-1.0, -1.0])
    for number, reward in enumerate([1.0, 0.0]):
        tree.episodes.append(
            Episode(id=number, sequences=[shared.id], stop=StopReason.TERMINATED, reward=reward)
        )
    algorithm = get("grpo", kl_coefficient=0.0)
    opposite = catch(make(tiny_model(), algorithm), Forest([tree]))
    assert opposite.vector.norm() < 1e-12
    for number, reward in enumerate([2.0, 3.0]):  # new leaves move the shared span's baseline
        leaf = tree.add(shared.id, Writer.MODEL, [6 + number], turn=1, logprobs=[-1.0])
        tree.episodes.append(
            Episode(id=2 + number, sequences=[leaf.id], stop=StopReason.TERMINATED, reward=reward)
        )
    assert catch(make(tiny_model(), algorithm), Forest([tree])).vector.norm() > 1e-3


def test_leaving_the_old_policys_pass_out_is_exact(
    catch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    forest = random_forest(5)
    short = catch(make(tiny_model()), forest)
    monkeypatch.setattr(measure_module, "computed_before", lambda *_: {Stat.OLD_LOGPROBS})
    full = catch(make(tiny_model()), forest)
    assert relative(short.vector, full.vector) < 1e-12


def test_later_optimiser_steps_still_compare_with_the_start_of_the_update() -> None:
    distance = {}
    for updates in (1, 2):
        learner = make(tiny_model(), updates_per_step=updates)
        distance[updates] = learner.update(random_forest(6, trees=4))["kl_old/k3"]
    assert distance[1] == 0
    assert distance[2] > 1e-4


def test_an_update_moves_the_weights_and_reports() -> None:
    model = tiny_model(dtype=torch.float32)
    before = parameters(model)
    found = make(model, updates_per_step=2).update(random_forest(6, trees=4))
    assert not torch.equal(parameters(model), before)
    assert found["updates"] == 2
    assert found["tokens/unique"] < found["tokens/separate"]
    assert found["mismatch/max"] >= found["mismatch/mean"] > 0
    assert all(math.isfinite(value) for value in found.values())
    assert {"loss", "grad_norm", "learning_rate", "entropy", "kl_old/k3", "clip/high"} <= set(found)
    assert not model.training


def test_the_value_head_learns_the_returns() -> None:
    forest = random_forest(2)
    for tree in forest.trees:
        for node in tree.nodes:
            node.reward = 0.0
        for episode in tree.episodes:
            episode.reward = 1.0
    learner = make(tiny_model(), get("ppo"), learning_rate=3e-3)
    reports = [learner.update(forest) for _ in range(30)]
    assert reports[-1]["value"] < 0.5 * reports[0]["value"]
    state = learner.state_dict()
    assert state["value_head"]["weight"].abs().sum() > 0


def test_log_probs_of_the_learners_own_policy_show_no_mismatch() -> None:
    forest, model = random_forest(7), tiny_model()
    found = rows(forest)
    logprobs_BT, _ = plain_stats(copy.deepcopy(model), found, temperature=0.8)
    for number, row in enumerate(found.rows):
        values = iter(logprobs_BT[number].tolist())
        for node in found.spans(row):
            node.logprobs = [next(values) for _ in node.ids]
    report = make(model, temperature=0.8).update(forest)
    assert report["mismatch/max"] < 1e-6


def test_several_updates_cover_every_row_once() -> None:
    found = rows(random_forest(8, trees=5))
    shares = split_by_tree(found, range(len(found.rows)), 3, torch.Generator())
    assert len(shares) == 3
    assert sorted(index for share in shares for index in share) == list(range(len(found.rows)))
    trees = [{found.rows[index].tree for index in share} for share in shares]
    assert sum(len(group) for group in trees) == len(set.union(*trees))


def test_nothing_to_learn_is_not_an_error() -> None:
    forest = random_forest(9)
    for tree in forest.trees:
        tree.episodes = []
    model = tiny_model()
    before = parameters(model)
    assert make(model).update(forest)["updates"] == 0
    assert torch.equal(parameters(model), before)


def test_training_stops_after_several_bad_updates_in_a_row() -> None:
    model = tiny_model(dtype=torch.float32)
    learner = make(model, max_bad_updates=2)
    forest = random_forest(1)
    learner.update(forest)
    good = model.model.norm.weight.detach().clone()
    before = parameters(model)
    with torch.no_grad():
        model.model.norm.weight[0] = math.nan
    assert learner.update(forest)["skipped"] == 1
    with torch.no_grad():
        model.model.norm.weight.copy_(good)
    assert torch.equal(parameters(model), before)  # a skipped update leaves the weights alone
    assert learner.update(forest)["skipped"] == 0
    with torch.no_grad():
        model.model.norm.weight[0] = math.nan
    learner.update(forest)
    with pytest.raises(TrainingDiverged, match=r"learner\.learning_rate"):
        learner.update(forest)


def test_imitation_equals_cross_entropy_and_learns() -> None:
    forest, model = random_forest(2), tiny_model()
    found = rows(forest)
    with torch.no_grad():
        logprobs_BT, _ = plain_stats(copy.deepcopy(model), found)
    expected = -(logprobs_BT * found.batch.mask_BT).sum() / found.batch.mask_BT.sum()
    for tree in forest.trees:
        for node in tree.nodes:
            node.logprobs = []  # experts have none
    learner = make(model, get("grpo", kl_coefficient=0.0), microbatch_tokens=30)
    first = learner.supervised(forest, learning_rate=1e-2)
    assert first["loss"] == pytest.approx(float(expected), rel=1e-6)
    assert first["learning_rate"] == 1e-2
    last = [learner.supervised(forest, learning_rate=1e-2) for _ in range(30)][-1]
    assert last["loss"] < 0.6 * first["loss"]
    assert last["accuracy"] > first["accuracy"]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]),
        ("linear", [0.5, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0]),
        ("cosine", [0.5, 1.0, 1.0, 0.8535533906, 0.5, 0.1464466094, 0.0]),
    ],
)
def test_the_learning_rate_follows_its_schedule(schedule: Any, expected: list[float]) -> None:
    settings = LearnerSettings(learning_rate=1.0, warmup_steps=2, schedule=schedule)
    optimizer = Optimizer([nn.Parameter(torch.zeros(2, 2))], settings, total_steps=6)
    rates = []
    for step in range(7):
        optimizer.steps = step
        rates.append(optimizer.learning_rate)
    assert rates == pytest.approx(expected)


@pytest.mark.parametrize(
    ("field", "value"), [("learning_rate", 0.0), ("beta2", 1.0), ("schedule", "step")]
)
def test_settings_out_of_range_are_refused(field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"`learner.{field}`"):
        replace(LearnerSettings(), **{field: value})


def test_a_schedule_without_an_end_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"learner\.schedule"):
        make(tiny_model(), schedule="cosine")
    with pytest.raises(ConfigError, match=r"rollout\.temperature"):
        make(tiny_model(), temperature=0.0)
