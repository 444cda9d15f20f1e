"""Engine against learner: what is reported, over which tokens, and that a plain loop agrees."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch

from agentrl.algorithms import Batch, Stat, get
from agentrl.algorithms.strategies.hapo_sampler import HapoSampler
from agentrl.learner import Learner, LearnerSettings
from agentrl.learner.mismatch import MismatchReport
from agentrl.learner.rows import Rows, rows
from agentrl.tree import Forest
from tests.learner.learner_samples import plain_stats, random_forest, tiny_model

NAN, INF = math.nan, math.inf


def batch_of(x: list[list[float]], mask: list[list[float]] | None = None, **fields: Any) -> Batch:
    """Rows whose tokens have l_learner - l_engine = x; the learner's log-prob is always -1."""
    x_BT = torch.tensor(x, dtype=torch.float64)
    count = torch.arange(len(x))
    return Batch(
        mask_BT=torch.ones_like(x_BT) if mask is None else torch.tensor(mask),
        groups_B=count,
        episodes_B=count,
        returns_B=torch.zeros(len(x)),
        turns_BT=torch.zeros_like(x_BT).long(),
        stats={
            Stat.LOGPROBS: torch.full_like(x_BT, -1.0),
            Stat.ROLLOUT_LOGPROBS: -1.0 - x_BT,
        },
        **fields,
    )


def numbers(*batches: Batch) -> dict[str, float]:
    report = MismatchReport()
    for batch in batches:
        report.add(batch)
    return {name.removeprefix("mismatch/"): value for name, value in report.numbers().items()}


HAND = [[math.log(1.2), math.log(0.95)], [0.0, math.log(0.5)]]
"""Ratios 1.2, 0.95, 1 and 0.5."""
HAND_K3 = [0.2 - math.log(1.2), -0.05 - math.log(0.95), 0.0, -0.5 - math.log(0.5)]


def test_the_numbers_are_those_worked_out_by_hand() -> None:
    found = numbers(batch_of(HAND))
    mean = (math.log(1.2) - math.log(0.95) + math.log(2)) / 4
    assert found == pytest.approx(
        {
            "mean": mean,
            "max": math.log(2),
            "k3": sum(HAND_K3) / 4,
            "outside": 0.5,
            "undefined": 0.0,
        },
        rel=1e-6,
    )


def test_both_ends_of_the_interval_are_agreement() -> None:
    close = [[math.log(0.9) + 1e-9, math.log(1.1) - 1e-9]]
    beyond = [[math.log(0.9) - 1e-9, math.log(1.1) + 1e-9]]
    assert numbers(batch_of(close))["outside"] == 0
    assert numbers(batch_of(beyond))["outside"] == pytest.approx(1)


def test_only_trained_tokens_count_whatever_stands_elsewhere() -> None:
    padded = batch_of([[*HAND[0], NAN], [*HAND[1], INF]], [[1, 1, 0], [1, 1, 0]])
    assert numbers(padded) == pytest.approx(numbers(batch_of(HAND)))


def test_micro_batches_add_up() -> None:
    whole = batch_of([*HAND, [0.3, -4.0], [NAN, 0.0]])
    parts = [whole.rows(torch.tensor(index)) for index in ([0], [1, 2], [3])]
    assert numbers(*parts) == pytest.approx(numbers(whole), rel=1e-12)


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_a_log_prob_that_is_no_number_is_counted_and_spoils_no_mean(bad: float) -> None:
    found = numbers(batch_of([[math.log(1.2), bad, 0.0, 0.0]]))
    assert found["undefined"] == pytest.approx(0.25)
    assert found["outside"] == pytest.approx(0.5)
    assert found["mean"] == pytest.approx(math.log(1.2) / 3)
    assert found["max"] == pytest.approx(math.log(1.2))
    assert found["k3"] == pytest.approx(HAND_K3[0] / 3)


def test_where_nothing_is_a_number_there_is_no_mean() -> None:
    assert numbers(batch_of([[NAN, NAN]])) == pytest.approx({"undefined": 1.0, "outside": 1.0})


def test_a_huge_difference_stays_a_finite_number() -> None:
    found = numbers(batch_of([[900.0, -900.0]]))
    assert found["max"] == 900
    assert found["k3"] == pytest.approx((math.expm1(20) - 20 + math.expm1(-20) + 20) / 2)


def test_tokens_of_older_weights_are_counted_apart() -> None:
    versions = torch.tensor([[7, 6], [-1, 5]])  # of the third nobody knows: it counts as fresh
    found = numbers(batch_of(HAND, versions_BT=versions, version=7))
    fresh = numbers(batch_of([[HAND[0][0], HAND[1][0]]]))
    assert found == pytest.approx(fresh | {"stale_tokens": 0.5})


def test_where_all_is_stale_nothing_else_is_said() -> None:
    old = batch_of(HAND, versions_BT=torch.zeros(2, 2).long(), version=1)
    assert numbers(old) == pytest.approx({"stale_tokens": 1.0})


def test_rows_sampled_at_another_temperature_on_purpose_are_left_out() -> None:
    mixed = batch_of([*HAND, [3.0, NAN]], sources_B=torch.tensor([0, 0, 1]))
    assert numbers(mixed) == pytest.approx(numbers(batch_of(HAND)))


def test_without_an_engines_log_probs_nothing_is_reported() -> None:
    batch = batch_of(HAND)
    del batch.stats[Stat.ROLLOUT_LOGPROBS]
    assert numbers(batch) == {}


def make(model: Any, algorithm: Any = None, **settings: Any) -> Learner:
    algorithm = algorithm or get("grpo", kl_coefficient=0.0)
    return Learner(model, algorithm, LearnerSettings(**{"learning_rate": 1e-2} | settings))


def versioned(forest: Forest, newest: int) -> Forest:
    """Give every span versions that change inside it, some of them older than `newest`."""
    for tree in forest.trees:
        for node in tree.nodes:
            if node.logprobs:
                half = len(node.ids) // 2
                runs = [(newest - node.id % 2, half), (newest, len(node.ids) - half)]
                node.versions = [run for run in runs if run[1]]
        tree.check()
    return forest


def plain(found: Rows, logprobs_BT: torch.Tensor, alive: list[bool], version: int) -> Any:
    """The report by loops over episodes, spans and tokens."""
    apart, stale, total = [], 0, 0
    for number, row in enumerate(found.rows):
        values = iter(logprobs_BT[number].tolist())
        for node in found.spans(row):
            versions = [v for v, count in node.versions for _ in range(count)]
            for engine, own in zip(node.logprobs, versions, strict=True):
                x = next(values) - engine
                if alive[number]:
                    total += 1
                    stale += own != version
                    apart += [x] if own == version else []
    return {
        "mismatch/mean": sum(map(abs, apart)) / len(apart),
        "mismatch/max": max(map(abs, apart)),
        "mismatch/k3": sum(math.exp(x) - 1 - x for x in apart) / len(apart),
        "mismatch/outside": sum(not 0.9 <= math.exp(x) <= 1.1 for x in apart) / len(apart),
        "mismatch/undefined": 0.0,
        "mismatch/stale_tokens": stale / total,
    }


@pytest.mark.parametrize("budget", [30, 10_000])
def test_an_update_reports_what_a_plain_loop_finds(budget: int) -> None:
    forest, model = versioned(random_forest(7), newest=4), tiny_model()
    found = rows(forest)
    logprobs_BT, _ = plain_stats(copy.deepcopy(model), found, temperature=0.8)
    returns = [[e.reward for e in tree.counted()] for tree in forest.trees]
    alive = [len(set(returns[row.tree])) > 0 for row in found.rows]
    learner = Learner(
        model,
        get("grpo", kl_coefficient=0.0),
        LearnerSettings(microbatch_tokens=budget),
        temperature=0.8,
    )
    report = learner.update(forest, version=4)
    expected = plain(found, logprobs_BT, alive, version=4)
    assert 0 < expected["mismatch/stale_tokens"] < 1
    assert {name: report[name] for name in expected} == pytest.approx(expected, rel=1e-5)


def own_log_probs(forest: Forest, model: Any) -> Forest:
    """Make the engine's log-probs those of the model."""
    found = rows(forest)
    logprobs_BT, _ = plain_stats(copy.deepcopy(model), found)
    for number, row in enumerate(found.rows):
        values = iter(logprobs_BT[number].tolist())
        for node in found.spans(row):
            node.logprobs = [next(values) for _ in node.ids]
    return forest


def test_only_the_first_optimiser_step_is_compared() -> None:
    model = tiny_model()
    forest = own_log_probs(random_forest(6, trees=4), model)
    report = make(model, updates_per_step=2).update(forest)
    assert report["updates"] == 2
    assert report["mismatch/max"] < 1e-6  # afterwards the weights have moved


def test_without_a_version_nothing_is_stale() -> None:
    report = make(tiny_model()).update(versioned(random_forest(7), newest=4))
    assert "mismatch/stale_tokens" not in report
    assert report["mismatch/mean"] > 0


def test_a_sampler_that_chooses_temperatures_is_not_compared() -> None:
    algorithm = get("grpo", kl_coefficient=0.0, rollout=HapoSampler())
    report = make(tiny_model(), algorithm).update(random_forest(7))
    assert not any(name.startswith("mismatch/") for name in report)


def test_rows_know_the_version_of_every_token() -> None:
    forest = versioned(random_forest(3), newest=9)
    forest.trees[0].nodes[rows(forest).rows[0].nodes[0]].versions = []
    found = rows(forest)
    versions_BT = found.batch.versions_BT
    assert versions_BT is not None
    for number, row in enumerate(found.rows):
        expected: list[int] = []
        for node in found.spans(row):
            runs = node.versions or [(-1, len(node.ids))]
            expected += [version for version, count in runs for _ in range(count)]
        padding = versions_BT.shape[1] - len(expected)
        assert versions_BT[number].tolist() == expected + [-1] * padding
    assert set(versions_BT.flatten().tolist()) == {9, 8, -1}
