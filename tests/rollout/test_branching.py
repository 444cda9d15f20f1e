"""Branches, surplus episodes, unfinished groups: what a rollout makes of a plan's decisions."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from agentrl.errors import ConfigError
from agentrl.learner.rows import rows
from agentrl.rollout.plan import FromPrompt, Independent, Start, Turn
from agentrl.rollout.policy import EpisodeKey
from agentrl.rollout.scheduler import RolloutLimits, RolloutScheduler
from agentrl.rollout.workers import EnvPool
from agentrl.storage import tree_from_json, tree_to_json
from agentrl.tree import Forest, StopReason, Tree, Writer
from agentrl.types import Task
from tests.envs.faulty import FaultyEnv
from tests.rollout.restless import RestlessEnv
from tests.rollout.rollouts import WatchedEngine, episode_settings, model_policy, run

TASKS = RestlessEnv.panel("train", 4).tasks  # 3, 4, 5 and 6 turns


@dataclass
class Scripted:
    """Starts what the script says after each (row, turn); row 0 starts from the prompt."""

    script: dict[tuple[int, int], list[Start]]
    rollouts: int = 2
    forks: bool = True
    seen: list[Turn] = field(default_factory=list)
    failed: list[tuple[int, bool]] = field(default_factory=list)

    def begin(self) -> list[Start]:
        return [FromPrompt()]

    def observe(self, turn: Turn) -> list[Start]:
        self.seen.append(turn)
        return self.script.get((turn.row, turn.turn), [])

    def lost(self, row: int, replace: bool) -> list[Start]:
        self.failed.append((row, replace))
        return [FromPrompt()] if replace else []


@dataclass
class Play:
    """One or more collections with a real engine and real environments."""

    model: Any
    tokenizer: Any
    limits: RolloutLimits = field(default_factory=RolloutLimits)
    deterministic: bool = False
    workers: int = 8
    changes: dict[str, Any] = field(default_factory=dict)
    trees: list[Tree] = field(default_factory=list)

    async def __aenter__(self) -> Play:
        self.settings = episode_settings(self.tokenizer, **self.changes)
        self.engine = WatchedEngine(self.model, self.tokenizer)
        self.pool = await EnvPool(self.workers, env_ids=("tests/Restless-v0",)).__aenter__()
        self.scheduler = RolloutScheduler(
            self.pool, self.settings, self.limits, deterministic=self.deterministic
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.scheduler.close()
        await self.engine.close()
        await self.pool.close()

    async def collect(self, tasks: Sequence[Task], seed: int = 0, **options: Any) -> Forest:
        policy = model_policy(self.engine, self.settings, seed)
        options = {
            "group_size": 2,
            "tree_prefix": f"s{seed}-",
            "on_tree": self.trees.append,
        } | options
        return await self.scheduler.collect(tasks, policy, **options)


def collected(play: Play, tasks: Sequence[Task], **options: Any) -> Forest:
    async def main() -> Forest:
        async with play:
            return await play.collect(tasks, **options)

    return run(main())


def text_of(tree: Tree, episode: int) -> list[list[int]]:
    return [tree.ids(last) for last in tree.episodes[episode].sequences]


@pytest.mark.parametrize("deterministic", [False, True])
def test_a_branch_shares_its_parents_turns_and_samples_its_own(
    tiny_model: Any, tiny_tokenizer: Any, deterministic: bool
) -> None:
    plan = Scripted({(0, 1): [FromPrompt(source=0, turn=2)]})
    play = Play(tiny_model, tiny_tokenizer, deterministic=deterministic)
    tree = collected(play, TASKS[2:3], plan_of=lambda *_: plan)[0]
    root, branch = tree.episodes
    assert (branch.parent_episode, branch.forked_at) == (root.id, (2, 0))
    ours, theirs = (list(tree.model_nodes(episode)) for episode in (branch, root))
    assert [node.id for node in ours[:2]] == [node.id for node in theirs[:2]]
    assert ours[2].id != theirs[2].id and ours[2].turn == theirs[2].turn == 2
    assert root.counts and branch.counts and branch.turns == 5
    assert branch.reward == pytest.approx(sum(node.reward for node in ours))
    # The engine was asked for the branch's own turns only, and found its beginning computed.
    asked = Counter(session for session, _ in play.engine.asked)
    assert asked == {"s0-0#0": 5, "s0-0#1": 3}
    assert tree_from_json(tree_to_json(tree)) == tree


def test_a_branch_inside_an_answer_shares_its_first_tokens(
    tiny_model: Any, tiny_tokenizer: Any
) -> None:
    long = {"max_tokens_per_turn": 6}
    plan = Scripted(
        {
            (0, 2): [
                FromPrompt(source=0, turn=1, token=2),
                FromPrompt(source=0, turn=1, token=2, trained=False),
            ]
        },
        rollouts=3,
    )
    play = Play(tiny_model, tiny_tokenizer, changes=long)
    tree = collected(play, TASKS[2:3], plan_of=lambda *_: plan)[0]
    tree.check()
    root, trained, given = tree.episodes
    whole = [node for node in tree.model_nodes(root) if node.turn == 1]
    assert [len(node.ids) for node in whole] == [2, len(plan.seen[1].ids) - 2]
    assert [*whole[0].ids, *whole[1].ids] == list(plan.seen[1].ids)
    assert not whole[0].reward and whole[1].info["action"] is not None
    for branch in (trained, given):
        own = [node for node in tree.model_nodes(branch) if node.turn == 1]
        assert own[0].id == whole[0].id and own[1].parent == whole[0].id
        answer = tiny_tokenizer.decode([*own[0].ids, *own[1].ids], skip_special_tokens=True)
        assert own[1].info["text"] == answer  # the action is read from the whole answer
    before = [node.id for node in tree.model_nodes(given) if node.turn == 0]
    assert sorted(given.given) == sorted([*before, whole[0].id]) and not trained.given
    found = rows(Forest([tree]))
    widths = found.batch.valid_BT.sum(-1).tolist()
    lengths = [sum(len(n.ids) for n in tree.model_nodes(e)) for e in tree.episodes]
    shared = sum(len(tree.nodes[node].ids) for node in given.given)
    assert widths == [lengths[0], lengths[1], lengths[2] - shared]
    # What is known of a turn holds for all its tokens, shared ones included.
    observed = found.batch.observations_BT[1][found.batch.turns_BT[1] == 1]
    assert len(set(observed.tolist())) == 1 and observed[0] >= 0


def test_a_token_fork_of_a_fork_splits_the_right_span(tiny_model: Any, tiny_tokenizer: Any) -> None:
    script = {
        (0, 2): [FromPrompt(source=0, turn=0, token=3)],
        (1, 2): [FromPrompt(source=1, turn=0, token=1), FromPrompt(source=1, turn=0, token=4)],
    }
    plan = Scripted(script, rollouts=4)
    play = Play(tiny_model, tiny_tokenizer)
    tree = collected(play, TASKS[1:2], plan_of=lambda *_: plan)[0]
    answers = [
        [token for node in tree.model_nodes(episode) if node.turn == 0 for token in node.ids]
        for episode in tree.episodes
    ]
    assert answers[0][:3] == answers[1][:3]
    assert answers[1][:1] == answers[2][:1]
    assert answers[1][:4] == answers[3][:4]
    tree.check()
    unique = sum(len(n.ids) for n in tree.nodes if n.writer is Writer.MODEL and n.turn == 0)
    sampled = [turn for turn in plan.seen if turn.turn == 0]
    assert unique == sum(len(turn.ids) for turn in sampled)  # every token is stored once


def test_given_answers_are_acted_out_and_not_trained(tiny_model: Any, tiny_tokenizer: Any) -> None:
    stop = tiny_tokenizer.eos_token_id
    answers = [
        [*tiny_tokenizer.encode(text, add_special_tokens=False), stop] for text in ("go", "wait")
    ]

    class Given(Scripted):
        def begin(self) -> list[Start]:
            return [
                FromPrompt(turn=2, given=answers),
                FromPrompt(turn=1, token=1, given=answers),
            ]

    tree = collected(Play(tiny_model, tiny_tokenizer), TASKS[2:3], plan_of=lambda *_: Given({}))[0]
    whole, half = tree.episodes
    assert whole.turns == half.turns == 5
    spans = [[n for n in tree.path(e.sequences[-1]) if n.info.get("given")] for e in (whole, half)]
    assert [n.ids for n in spans[0]] == answers
    assert [n.ids for n in spans[1]] == [answers[0], answers[1][:1]]
    assert spans[0][0].info["action"] == "go" and spans[0][0].reward == pytest.approx(0.2)
    assert min(n.turn for n in tree.model_nodes(whole)) == 2
    assert min(n.turn for n in tree.model_nodes(half)) == 1
    assert whole.reward == pytest.approx(0.2 + 0.4 + sum(n.reward for n in tree.model_nodes(whole)))
    total = sum(len(n.ids) for e in tree.episodes for n in tree.model_nodes(e))
    assert int(rows(Forest([tree])).batch.mask_BT.sum()) == total


def test_branches_repeat_bit_for_bit_in_lockstep(tiny_model: Any, tiny_tokenizer: Any) -> None:
    def plan(tree: str, task: Task) -> Scripted:
        script = {
            (row, turn): [FromPrompt(source=row, turn=turn + 1)]
            for row in range(3)
            for turn in (0, 1)
        }
        return Scripted(script, rollouts=5)

    def once() -> Any:
        play = Play(tiny_model, tiny_tokenizer, deterministic=True, workers=5)
        forest = collected(play, TASKS, plan_of=plan)
        for tree in forest:
            for item in [*tree.nodes, *tree.episodes]:
                item.seconds = 0.0
        return [tree_to_json(tree) for tree in forest], play.engine.asked

    assert once() == once()


def test_sessions_are_kept_while_they_can_be_branched_from(
    tiny_model: Any, tiny_tokenizer: Any
) -> None:
    plan = Scripted({(0, 2): [FromPrompt(source=0, turn=1)]})
    play = Play(tiny_model, tiny_tokenizer)
    collected(play, TASKS[:1], plan_of=lambda *_: plan)  # the root has ended with turn 2
    assert plan.seen[2].ended
    assert sorted(play.engine.released) == ["s0-0#0", "s0-0#1"]
    own_prompt = next(len(ids) for session, ids in play.engine.asked if session == "s0-0#1")
    stats = play.engine.stats
    separate = stats.prompt_tokens + stats.sampled_tokens
    assert stats.computed_tokens <= separate - own_prompt + 1


def test_the_first_k_of_n_episodes_are_kept_and_the_others_cancelled(
    tiny_model: Any, tiny_tokenizer: Any
) -> None:
    play = Play(tiny_model, tiny_tokenizer)
    forest = collected(play, TASKS[1:3], plan_of=lambda *_: Independent(2, extra=3))
    for tree in forest:
        assert len(tree.counted()) == 2 and len(tree.episodes) == 5
        others = [episode for episode in tree.episodes if not episode.counts]
        assert {(e.stop, e.error_kind) for e in others} == {(StopReason.CANCELLED, "surplus")}
    assert forest.failures() == {"cancelled/surplus": 6}


@pytest.mark.parametrize("deterministic", [False, True])
def test_a_tree_is_handed_over_with_the_ends_of_all_its_episodes(
    tiny_model: Any, tiny_tokenizer: Any, deterministic: bool
) -> None:
    play = Play(tiny_model, tiny_tokenizer, deterministic=deterministic)
    stops: list[Any] = []

    def noted(tree: Tree) -> None:
        stops.extend(episode.stop for episode in tree.episodes)

    collected(play, TASKS, plan_of=lambda *_: Independent(1, extra=2), on_tree=noted)
    assert len(stops) == 12 and None not in stops


@pytest.mark.parametrize("deterministic", [False, True])
def test_what_goes_wrong_in_a_plan_or_a_callback_ends_the_rollout(
    tiny_model: Any, tiny_tokenizer: Any, deterministic: bool
) -> None:
    class Broken(Scripted):
        def observe(self, turn: Turn) -> list[Start]:
            raise ConfigError("the plan is broken")

    def refuse(tree: Tree) -> None:
        raise ConfigError("the disk is full")

    for options, message in (
        ({"plan_of": lambda *_: Broken({})}, "plan is broken"),
        ({"on_tree": refuse}, "disk is full"),
    ):
        play = Play(tiny_model, tiny_tokenizer, deterministic=deterministic)
        with pytest.raises(ConfigError, match=message):
            collected(play, TASKS[:2], **options)


def test_extra_episodes_stand_in_for_failed_ones_before_others_are_drawn() -> None:
    plan = Independent(2, extra=1)
    assert len(plan.begin()) == 3
    assert plan.lost(0, replace=True) == []
    assert len(plan.lost(1, replace=True)) == 1
    assert plan.lost(2, replace=False) == []


def test_a_group_stops_starting_episodes_when_its_tokens_are_used_up(
    tiny_model: Any, tiny_tokenizer: Any
) -> None:
    script = {(0, turn): [FromPrompt(source=0, turn=turn + 1)] for turn in range(4)}
    limits = RolloutLimits(group_tokens=13)
    play = Play(tiny_model, tiny_tokenizer, limits=limits)
    plan = Scripted(script, rollouts=5)
    tree = collected(play, TASKS[2:3], plan_of=lambda *_: plan)[0]
    counts = [len(turn.ids) for turn in plan.seen if turn.row == 0]
    assert 1 <= len(tree.episodes) - 1 <= sum(sum(counts[: n + 1]) < 13 for n in range(4))
    assert all(episode.counts for episode in tree.episodes)  # what runs is played to its end


def test_an_episode_beyond_its_deadline_fails_alone_and_is_replaced(
    tiny_model: Any, tiny_tokenizer: Any
) -> None:
    hang = FaultyEnv.panel("train", count=1, kinds=["hang"], rate=1.0)[0]
    limits = RolloutLimits(episode_seconds=1.0, max_resamples=1)
    play = Play(tiny_model, tiny_tokenizer, limits=limits)
    forest = collected(play, [hang, *TASKS[:2]])
    assert forest.failures() == {"cancelled/deadline": 3}
    assert "more than 1 s" in forest[0].episodes[0].error
    assert [len(tree.counted()) for tree in forest] == [0, 2, 2]


@pytest.mark.parametrize("deterministic", [False, True])
def test_groups_beyond_the_wanted_ones_are_cut_recorded_and_not_returned(
    tiny_model: Any, tiny_tokenizer: Any, deterministic: bool
) -> None:
    play = Play(tiny_model, tiny_tokenizer, deterministic=deterministic, workers=16)
    tasks = [TASKS[3], TASKS[0], TASKS[3], TASKS[0]]
    forest = collected(play, tasks, wanted=2)
    assert len(forest) >= 2 and all(len(tree.counted()) == 2 for tree in forest)
    if deterministic:
        assert [tree.id for tree in forest] == ["s0-1", "s0-3"]  # the short tasks
    cut = [tree for tree in play.trees if tree.info.get("cut")]
    assert len(cut) + len(forest) == 4 == len(play.trees)
    for tree in cut:
        tree.check()
        assert all(episode.stop is not None for episode in tree.episodes)
        assert any(episode.error_kind == "surplus" for episode in tree.episodes)


def test_only_groups_that_are_kept_count(tiny_model: Any, tiny_tokenizer: Any) -> None:
    play = Play(tiny_model, tiny_tokenizer, workers=16)
    forest = collected(play, TASKS, wanted=1, keep=lambda tree: tree.task.seed == 3)
    assert [tree.task.seed for tree in forest][-1] == 3


def test_unfinished_groups_go_on_under_the_next_policy_and_say_which_version_sampled_what(
    tiny_model: Any, tiny_tokenizer: Any
) -> None:
    limits = RolloutLimits(carry_over=True)

    async def main() -> tuple[Forest, Forest, Forest, int]:
        async with Play(tiny_model, tiny_tokenizer, limits=limits) as play:
            first = await play.collect([TASKS[0], TASKS[3]], wanted=1)
            waiting = play.scheduler.unfinished
            # Another purpose has the scheduler to itself meanwhile.
            between = await play.collect(TASKS[:1], seed=9)
            await asyncio.sleep(0.1)
            await play.engine.update_weights(None, 1)
            second = await play.collect([TASKS[0]], seed=1, wanted=2)
            assert not play.scheduler.unfinished
            return first, between, second, waiting

    first, between, second, waiting = run(main())
    assert waiting == 1 and len(first) == 1
    carried_id = ({"s0-0", "s0-1"} - {first[0].id}).pop()  # nearly always the longer one
    assert [tree.id for tree in between] == ["s9-0"]
    assert [tree.id for tree in second] == [carried_id, "s1-0"]  # the oldest first
    assert len(second[0].counted()) == 2
    versions = [{v for node in tree.nodes for v, _ in node.versions} for tree in second]
    assert versions[0] in ({0, 1}, {1}) and versions[1] == {1}


def test_carrying_over_and_lockstep_exclude_each_other(tiny_tokenizer: Any) -> None:
    settings = episode_settings(tiny_tokenizer)
    with pytest.raises(ConfigError, match="depends on the clock"):
        RolloutScheduler(
            None,  # type: ignore[arg-type]
            settings,
            RolloutLimits(carry_over=True),
            deterministic=True,
        )


def test_a_branch_whose_environment_fails_is_recorded_and_reported_to_the_plan(
    tiny_model: Any, tiny_tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agentrl.errors import ReplayMismatch
    from agentrl.rollout.handle import EnvHandle

    async def broken(*_: Any) -> Any:
        raise ReplayMismatch("it led elsewhere")

    monkeypatch.setattr(EnvHandle, "in_state", broken)
    plan = Scripted({(0, 0): [FromPrompt(source=0, turn=1)]})
    tree = collected(Play(tiny_model, tiny_tokenizer), TASKS[:1], plan_of=lambda *_: plan)[0]
    assert plan.failed == [(1, True)]
    failed = tree.episodes[1]
    assert failed.stop is StopReason.ENV_ERROR and "elsewhere" in failed.error
    assert len(tree.counted()) == 2  # its replacement


def test_episodes_are_served_in_the_order_of_their_groups(
    tiny_model: Any, tiny_tokenizer: Any
) -> None:
    started: list[EpisodeKey] = []

    def plan(tree: str, task: Task) -> Scripted:
        return Scripted({(0, 0): [FromPrompt(source=0, turn=1)]})

    play = Play(tiny_model, tiny_tokenizer, workers=1)

    async def main() -> None:
        async with play:
            await play.collect(TASKS[:3], plan_of=plan)

    run(main())
    for session, _ in play.engine.asked:
        if session not in started:
            started.append(session)
    assert started == ["s0-0#0", "s0-0#1", "s0-1#0", "s0-1#1", "s0-2#0", "s0-2#1"]
