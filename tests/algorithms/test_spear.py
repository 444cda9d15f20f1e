"""SPEAR: schedules, the replay buffer's decisions, the intrinsic reward and Dr.BoT's filters."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch

from agentrl.algorithms import Batch, estimate_advantages, get
from agentrl.algorithms.filters.quality import (
    KeepMostVaried,
    QualityMask,
    has_action,
    is_repetitive,
)
from agentrl.algorithms.memory.replay import Replay, warmup_weight
from agentrl.algorithms.memory.replay_buffer import Entry, GroupScores, ReplayBuffer, group_scores
from agentrl.algorithms.regularisers.standard import KLToReference
from agentrl.algorithms.rewards.tool_calls import ToolCallReward, intrinsic_weight
from agentrl.algorithms.statistics import Stat
from agentrl.errors import ConfigError, StatisticMissing


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def scores(step: int, *means: float) -> GroupScores:
    return GroupScores(step, means, tuple(1.0 for _ in means))


def row(reward: float, name: str = "", tokens: int = 3) -> Entry[str]:
    return Entry(reward, torch.ones(tokens), torch.full((tokens,), 0.5), name)


def filled(count: int = 20, step: int = 0, **settings: object) -> ReplayBuffer[str]:
    """Rows with returns 1, 2, ... over a baseline of 0."""
    buffer: ReplayBuffer[str] = Replay(**{"buffer_rows": 4, "warmup_steps": 0} | settings).start()
    buffer.push(scores(step, 0.0), [row(1.0 + n, str(n)) for n in range(count)])
    return buffer


def batch_of(episodes: list[int], groups: list[int], returns: list[float], **more: object) -> Batch:
    """Rows of two tokens; the rows of an episode are its turns."""
    seen: Counter[int] = Counter()
    turns = []
    for episode in episodes:
        turns.append([seen[episode]] * 2)
        seen[episode] += 1
    fields: dict[str, object] = {
        "mask_BT": torch.ones(len(episodes), 2),
        "groups_B": torch.tensor(groups),
        "episodes_B": torch.tensor(episodes),
        "returns_B": torch.tensor(returns),
        "turns_BT": torch.tensor(turns),
    }
    return Batch(**fields | more)


# Schedules


def test_the_replay_weight_rises_from_zero_to_its_coefficient_and_stays():
    weights = [warmup_weight(step, 0.7, 100) for step in range(0, 131, 10)]
    assert weights[0] == 0
    assert weights[10] == pytest.approx(0.7)
    assert weights[5] == pytest.approx(0.35)
    assert weights == sorted(weights)
    assert weights[-1] == pytest.approx(0.7)
    assert warmup_weight(0, 0.7, 0) == pytest.approx(0.7)  # no warm-up


def test_the_intrinsic_weight_falls_from_one_to_zero():
    weights = [intrinsic_weight(step, "cosine", 100) for step in range(0, 131, 10)]
    assert weights[0] == 1
    assert weights[10] == pytest.approx(0, abs=1e-15)
    assert weights[5] == pytest.approx(0.5)
    assert weights[11:] == [0, 0, 0]
    assert [intrinsic_weight(step, "constant", 10) for step in (0, 99)] == [1, 1]
    assert intrinsic_weight(0, "none", 10) == 0


# Buffer


def test_nothing_is_drawn_and_nothing_changes_before_the_buffer_is_ready():
    buffer, generator = filled(count=6), draws()
    before = generator.get_state()
    assert not buffer.ready()  # six rows are not more than 1.5 * 4
    assert buffer.select(1, generator) == []
    assert torch.equal(generator.get_state(), before)
    assert len(buffer.entries()) == 6


def test_a_row_is_replayed_at_most_once():
    buffer = filled(count=7)
    chosen = buffer.select(1, draws())
    assert len(chosen) == 4
    assert len({entry.payload for entry in chosen}) == 4
    assert buffer.entries() == []
    assert buffer.select(2, draws()) == []
    assert buffer.history  # the baseline stays


def test_at_weight_zero_the_buffer_is_kept():
    buffer = filled(warmup_steps=10)
    assert buffer.select(0, draws()) == []
    assert len(buffer.entries()) == 20
    assert buffer.select(1, draws())


@pytest.mark.parametrize("tolerate", [0, 1, 3])
@pytest.mark.parametrize("gap", [1, 2, 3, 4, 5])
def test_a_row_older_than_tolerate_steps_is_never_replayed(tolerate: int, gap: int) -> None:
    buffer = filled(step=2, tolerate_steps=tolerate)
    buffer.push(scores(2 + gap - 1, 0.0), [])
    assert bool(buffer.select(2 + gap, draws())) == (gap <= tolerate)


def test_the_released_expiry_looks_only_before_a_push_at_the_newest_stored():
    buffer = filled(step=0, tolerate_steps=2, expiry="push")
    buffer.push(scores(2, 0.0), [row(1.0, "young")])
    assert len(buffer.select(3, draws())) == 4  # rows of step 0 too, three updates old
    buffer = filled(step=0, tolerate_steps=2, expiry="push")
    buffer.push(scores(3, 0.0), [row(1.0, "young")])
    buffer.push(scores(4, 0.0), [])
    assert [entry.payload for entry in buffer.entries()] == ["young"]


def test_no_row_is_kept_for_more_than_ten_updates():
    buffer = filled(step=0, tolerate_steps=100)
    assert buffer.select(11, draws()) == []


def test_the_baseline_is_the_median_of_all_group_means_interpolated():
    buffer = filled(count=0)
    buffer.history = [scores(0, 4.0, 0.0), scores(1, 1.0, 2.0)]
    assert buffer.baseline == (1.5, 1.0)
    buffer.history.append(scores(2, 9.0))
    assert buffer.baseline == (2.0, 1.0)


def test_old_updates_leave_the_history_only_when_it_holds_too_many_groups():
    buffer: ReplayBuffer[str] = Replay(baseline_groups=3).start()
    for step in range(4):
        buffer.push(scores(step, 0.0, 1.0), [])
    assert [entry.step for entry in buffer.history] == [2, 3]  # 4 > 3 before the last was added


@pytest.mark.parametrize(("scale", "divisor"), [("none", 1.0), ("median", 2.0 + 1e-6)])
def test_advantages_are_recalibrated_against_the_baseline(scale: str, divisor: float) -> None:
    buffer: ReplayBuffer[str] = Replay(scale=scale).start()
    buffer.history = [GroupScores(0, (3.0,), (2.0,))]
    entry = replace(row(5.0), mask_T=torch.tensor([1.0, 0.0, 1.0]))
    buffer.push(scores(1), [entry, row(3.0, "equal"), row(2.0, "worse")])
    (kept,) = buffer.recalibrated()
    torch.testing.assert_close(kept.advantages_T, torch.tensor([2.0, 0.0, 2.0]) / divisor)


def test_rows_that_equal_the_baseline_are_kept_only_on_request():
    for keep, count in (("positive", 0), ("not-negative", 1)):
        buffer: ReplayBuffer[str] = Replay(keep=keep).start()
        buffer.push(scores(0, 1.0), [row(1.0), row(0.5)])
        assert len(buffer.recalibrated()) == count


def test_with_a_decay_stored_advantages_are_used_and_all_rows_count():
    buffer = filled(count=0, weight_decay=0.1)
    buffer.push(scores(1, 100.0), [row(1.0) for _ in range(7)])
    assert buffer.useful() == 7
    chosen = buffer.select(2, draws())
    assert len(chosen) == 4
    torch.testing.assert_close(chosen[0].advantages_T, torch.full((3,), 0.05))


@pytest.mark.parametrize(
    ("kept", "released", "all_that_fit"),
    [(0, 0, 0), (1, 0, 1), (2, 2, 2), (7, 4, 7), (8, 8, 8), (9, 8, 9), (40, 10, 10)],
)
def test_the_number_of_replayed_rows(kept: int, released: int, all_that_fit: int) -> None:
    settings = Replay(buffer_rows=10)
    assert ReplayBuffer(settings).size(kept) == released
    assert ReplayBuffer(replace(settings, power_of_two=False)).size(kept) == all_that_fit


def test_the_subset_depends_on_the_seed_and_covers_all_rows():
    def names(seed: int) -> tuple[str, ...]:
        return tuple(sorted(e.payload for e in filled(count=8).select(1, draws(seed))))

    assert names(3) == names(3)
    found = {names(seed) for seed in range(60)}
    assert len(found) > 20
    assert {name for chosen in found for name in chosen} == {str(n) for n in range(8)}


def test_group_scores_count_episodes_once_and_leave_out_empty_ones():
    batch = batch_of([0, 0, 1, 2, 3], [7, 7, 7, 5, 5], [4.0, 4.0, 0.0, 1.0, 9.0])
    batch.mask_BT[4] = 0
    found = group_scores(batch)
    assert found.means == (2.0, 1.0)
    assert found.stds == pytest.approx((2.0, 0.0))  # population
    assert group_scores(batch, "sample").stds == pytest.approx((8**0.5, 0.0))


@pytest.mark.parametrize(
    "wrong",
    [
        {"buffer_rows": 0},
        {"weight_decay": 0},
        {"weight_decay": 1.5},
        {"scale": "std"},
        {"keep": "all"},
        {"expiry": "never"},
        {"group_std": "n"},
        {"tolerate_steps": -1},
    ],
)
def test_wrong_settings_of_the_buffer_are_named(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=f"replay.{next(iter(wrong))}"):
        Replay(**wrong)


def test_a_replay_loss_that_reads_what_is_not_stored_is_refused():
    with pytest.raises(ConfigError, match="old_values"):
        get("ppo", replay=Replay(), transforms=(), bounds=_ReadsValues())


class _ReadsValues:
    requires = frozenset({Stat.OLD_VALUES})


def test_the_replay_loss_has_no_kl_and_its_own_covariance_band():
    algorithm = get("spear", entropy_coefficient=0.01)
    algorithm = replace(
        algorithm, regularisers=(*algorithm.regularisers, KLToReference(coefficient=0.1))
    )
    loss = algorithm.replay.loss(algorithm)
    assert [term.name for term in loss.regularisers] == ["entropy_bonus"]
    assert loss.token_weights == algorithm.replay.token_weights != algorithm.token_weights
    assert loss.surrogate == algorithm.surrogate
    assert loss.aggregation == algorithm.aggregation


# Intrinsic reward


def test_agents_are_paid_per_turn_up_to_a_cap():
    many = [0] * 12 + [1, 1]
    batch = batch_of(many, [0] * 14, [1.0] * 12 + [0.0] * 2)
    shaped = ToolCallReward(schedule="constant")(batch)
    torch.testing.assert_close(shaped.returns_B, torch.tensor([2.0] * 12 + [0.2] * 2))
    assert shaped.rewards_BT is not None
    paid = shaped.rewards_BT.sum(-1)
    assert paid[:12].sum() == pytest.approx(2.0)
    assert paid[12:].tolist() == pytest.approx([0.0, 0.2])


def test_the_layout_of_an_episode_does_not_change_its_bonus():
    window = batch_of([0, 0, 0], [0, 0, 0], [1.0] * 3)
    full = replace(
        batch_of([0], [0], [1.0]),
        mask_BT=torch.ones(1, 6),
        turns_BT=torch.tensor([[0, 0, 1, 1, 2, 2]]),
    )
    shaping = ToolCallReward(schedule="constant")
    assert shaping(window).returns_B[0] == shaping(full).returns_B[0] == pytest.approx(1.3)


def test_the_bonus_fades_with_the_update():
    batch = batch_of([0], [0], [1.0])
    shaping = ToolCallReward(steps=10)
    found = [float(shaping(replace(batch, step=step)).returns_B) for step in (0, 5, 10, 11)]
    assert found == pytest.approx([1.1, 1.05, 1.0, 1.0])


def test_step_advantages_do_not_see_the_bonus_but_episode_advantages_do():
    anchors = torch.tensor([[0, 0]] * 4)
    batch = batch_of([0, 0, 0, 1], [0] * 4, [1.0, 1.0, 1.0, 0.0], anchors_BT=anchors)
    paid = ToolCallReward(schedule="constant")(batch)
    advantage = get("gigpo", samples="episodes").advantage
    bare = replace(advantage, step_weight=0.0)

    def step_part(batch: Batch) -> torch.Tensor:
        return advantage(batch).advantages - bare(batch).advantages

    torch.testing.assert_close(step_part(paid), step_part(batch))
    # The bonus is 0.3 for episode 0 and 0.1 for episode 1, so their distance grows by 0.2.
    gap = bare(paid).advantages - bare(batch).advantages
    torch.testing.assert_close(gap[:, 0], torch.tensor([0.1, 0.1, 0.1, -0.1]))


def test_mathematics_counts_messages_with_a_tool_call():
    calls = {"tool_calls": torch.tensor([3.0, 3.0, 0.0])}
    batch = batch_of([0, 1, 2], [0, 0, 0], [1.0, 0.0, 1.0], components=calls)
    plain = ToolCallReward(schedule="constant", form="maths")(batch)
    assert plain.returns_B.tolist() == pytest.approx([1.3, 0.3, 1.0])
    once = ToolCallReward(schedule="constant", form="maths-once")(batch)
    assert once.returns_B.tolist() == pytest.approx([2.0, 0.3, 1.0])
    none = replace(batch, components={})
    assert ToolCallReward(form="maths")(none).returns_B.tolist() == [1.0, 0.0, 1.0]


# Filters


def test_actions_are_looked_for_after_the_last_thought():
    assert has_action("<think><action>a</action></think><action>b</action>")
    assert not has_action("<think><action>a</action></think>")
    assert not has_action("</action><action>")
    assert has_action("<action></action>")


def test_repetition_counts_overlapping_runs():
    assert is_repetitive([1] * 12, length=3, times=10)
    assert not is_repetitive([1] * 11, length=3, times=10)
    assert not is_repetitive([], length=3, times=1)


def quality_batch() -> Batch:
    """Six episodes of one turn: fine, badly formed, repetitive, unreadable, long, cut off."""
    count, width = 6, 30
    lengths = torch.tensor([25, 25, 29, 25, 30, 25])
    ids = torch.arange(width).repeat(count, 1)
    ids[2] = 5
    return Batch(
        mask_BT=(torch.arange(width) < lengths.unsqueeze(-1)).float(),
        groups_B=torch.zeros(count, dtype=torch.long),
        episodes_B=torch.arange(count),
        returns_B=torch.arange(6.0),
        turns_BT=torch.zeros(count, width, dtype=torch.long),
        ids_BT=ids,
        invalid_BT=(torch.arange(count) == 1).unsqueeze(-1).expand(count, width),
        unreadable_B=torch.arange(count) == 3,
        answers_B=torch.tensor([0, -1, 0, 0, 0, 0]),
        truncated_B=torch.arange(count) == 5,
    )


def test_quality_masks_of_agents_and_of_mathematics():
    batch = quality_batch()
    agent = QualityMask(max_tokens=30)(batch)
    assert agent.valid_BT.any(-1).tolist() == [True, False, False, False, False, True]
    assert torch.equal(agent.mask_BT[0], batch.mask_BT[0])
    maths = QualityMask(form="maths")(batch)
    assert maths.valid_BT.any(-1).tolist() == [True, False, False, False, True, False]
    lenient = QualityMask(incomplete=False, times=0)(batch)
    assert lenient.valid_BT.any(-1).tolist() == [True, True, True, False, True, True]


def test_only_the_bad_turn_of_an_agent_is_masked_but_all_of_a_mathematical_episode():
    batch = quality_batch()
    turns = torch.tensor([[0] * 10 + [1] * 20]).expand(6, 30)
    invalid = (turns == 1) & (torch.arange(6) == 1).unsqueeze(-1)
    batch = replace(batch, turns_BT=turns, invalid_BT=invalid)
    kept = QualityMask()(batch).valid_BT[1]
    assert kept.tolist() == [True] * 10 + [False] * 20
    ids = batch.ids_BT.clone()
    ids[0, 10:] = 7
    repeats = replace(batch, ids_BT=ids)
    assert QualityMask(ngram=5)(repeats).valid_BT[0].tolist() == [True] * 10 + [False] * 20
    assert not QualityMask(form="maths", ngram=5)(repeats).valid_BT[0].any()


def test_masking_happens_before_advantages():
    batch = quality_batch()
    algorithm = get("dr_bot", form="maths", group_share=1.0)
    found = estimate_advantages(algorithm, batch).advantages
    assert found[0, 0] == pytest.approx(0 - (0 + 4) / 2)  # the returns of episodes 0 and 4
    assert found[4, 0] == pytest.approx(2.0)


def test_quality_masks_need_what_they_look_at():
    with pytest.raises(StatisticMissing, match="invalid_BT"):
        QualityMask()(replace(quality_batch(), invalid_BT=None))


def test_the_most_varied_groups_stay():
    groups = [0, 0, 1, 1, 2, 2, 3, 3]
    batch = batch_of(list(range(8)), groups, [3.0, 3.0, 0.0, 2.0, 0.0, 5.0, 0.0, 1.0])

    def kept(share: float) -> list[int]:
        return sorted(set(batch.groups_B[KeepMostVaried(share=share).keep(batch)].tolist()))

    assert kept(0.75) == [1, 2, 3]
    assert kept(0.5) == [1, 2]
    assert kept(0.74) == [1, 2]  # int(2.96)
    assert kept(0.1) == [2]  # never none
    assert kept(1.0) == [0, 1, 2, 3]


def test_groups_that_tie_with_the_last_one_stay_too():
    batch = batch_of(list(range(6)), [0, 0, 1, 1, 2, 2], [0.0, 1.0, 1.0, 0.0, 5.0, 6.0])
    assert KeepMostVaried(share=0.4).keep(batch).all()


# The methods


def test_dr_bot_divides_by_no_deviation_and_clips_higher():
    algorithm = get("dr_bot")
    assert algorithm.advantage.scale == "none"
    assert (algorithm.bounds.clip_low, algorithm.bounds.clip_high) == (0.2, 0.28)
    assert algorithm.regularisers == ()
    assert get("dr_bot", base="gigpo").advantage.mode == "mean_norm"
    assert get("dr_bot", base="gigpo", scale="group").advantage.mode == "mean_std_norm"


def test_spear_without_its_parts_is_the_base_method():
    bare = get(
        "spear",
        bag_of_tricks=False,
        toolcall_schedule="none",
        cov_fraction=0,
        replay=None,
        reward_shaping=(),
    )
    assert replace(bare, name="grpo") == get("grpo", kl_coefficient=0)


@pytest.mark.parametrize("wrong", [{"base": "ppo"}, {"form": "both"}, {"buffer_rows": 0}])
def test_wrong_settings_of_spear_are_named(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        get("spear", **wrong)
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        get("spear", bag_of_tricks=False, **wrong)
