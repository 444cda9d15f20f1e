"""Episodes that branch in real environments are what fresh runs of their answers are.

Every kind of plan grows trees of every text environment in worker processes.  What a leaf then
says of itself is compared with a plain loop that gives its answers to a fresh environment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest

from agentrl.algorithms.statistics import Stat
from agentrl.algorithms.strategies.presets import rollout_strategy
from agentrl.envs import env_class
from agentrl.envs.prompts import choose
from agentrl.errors import DataError, MissingExtraError
from agentrl.learner.rows import rows
from agentrl.plans import PlanMaker
from agentrl.rollout import handle as handle_module
from agentrl.rollout.episode import EpisodeSettings
from agentrl.rollout.placement import PoolCounts
from agentrl.rollout.plan import Plan
from agentrl.rollout.policy import EpisodeKey
from agentrl.rollout.scheduler import RolloutScheduler
from agentrl.rollout.workers import EnvPool
from agentrl.storage import read_forest, write_forest
from agentrl.tokens import ContextMode
from agentrl.training.warmup import with_expert
from agentrl.tree import Episode, Forest, Node, Tree, Writer
from agentrl.types import Task
from tests.rollout.replayed import answers_of, played_again, recorded, spans_of
from tests.rollout.rollouts import episode_settings, run
from tests.rollout.wandering import WanderingPolicy

PLANS: dict[str, dict[str, Any]] = {
    "arpo": {"name": "arpo", "branch_probability": 1.0, "rollouts": 6, "initial_rollouts": 2},
    "before": {
        "name": "arpo", "branch_probability": 1.0, "rollouts": 6, "initial_rollouts": 1,
        "measure": "after", "beam_size": 3, "top_up": "all",
    },
    "aepo": {"name": "aepo", "branch_probability": 0.0, "rollouts": 6, "monitor": True},
    "fixed": {"name": "fixed", "turns": [0, 2], "children": 2, "roots": 2},
    "cure": {"name": "cure", "roots": 2, "continuations": 2},
    "ettrl": {"name": "ettrl", "roots": 2, "fork_count": 2, "branches": 1},
    "drpo": {"name": "drpo"},
    "inside": {"name": "drpo"},
}  # fmt: skip
"""One tree of each forest follows each of these; `inside` has stored answers of one turn."""

FORKS_TURNS = {"arpo", "before", "aepo", "fixed"}
FORKS_ANSWERS = {"cure", "ettrl"}
GROUP_SIZE = 4
LIMITS = {"max_turns": 5, "max_tokens_per_turn": 128, "max_context": 100_000}


@dataclass(frozen=True, kw_only=True)
class Case:
    """An environment, and how it is played.

    Attributes:
        env_id: the environment.
        options: of its panel.
        task: further options of its tasks.
        prompt: name of the prompt.
        context: `rollout.context`.
        lockstep: take turns together.
        eager: processes are forked wherever the environment allows that.
        expert: half of the actions are the expert's.
        workers: processes.
        plans: what there is a tree of.
        limits: changes to the episode's settings.
    """

    env_id: str
    options: Mapping[str, Any]
    task: Mapping[str, Any] = field(default_factory=dict)
    prompt: str
    context: str = "auto"
    lockstep: bool = False
    eager: bool = False
    expert: bool = True
    workers: int = 4
    plans: Sequence[str] = tuple(PLANS)
    limits: Mapping[str, Any] = field(default_factory=dict)


ALFWORLD: dict[str, Any] = {
    "env_id": "agentrl/ALFWorld-v0",
    "options": {"generated": True, "count": 4},
}
SCIENCEWORLD: dict[str, Any] = {
    "env_id": "agentrl/ScienceWorld-v0",
    "options": {"simplifications": "easy", "task_types": ["find-living-thing"], "count": 2},
    "task": {"reward": "score_delta"},
    "expert": False,
    "workers": 2,
}
WEBSHOP: dict[str, Any] = {
    "env_id": "agentrl/WebShop-v0",
    "options": {"catalogue": "generated", "size": 60, "count": 4},
    "task": {"reward": "score"},
}
TEXTWORLD: dict[str, Any] = {"env_id": "agentrl/TextWorld-v0"}
COIN: dict[str, Any] = {**TEXTWORLD, "options": {"levels": [1, 3], "count": 4}}
TREASURE: dict[str, Any] = {**TEXTWORLD, "options": {"kind": "treasure_hunter", "count": 2}}
COOKING: dict[str, Any] = {**TEXTWORLD, "options": {"kind": "cooking", "count": 2}}
EAGER: dict[str, Any] = {"eager": True, "workers": 32}

FAST = {
    "alfworld-step": Case(**ALFWORLD, **EAGER, prompt="step", lockstep=True),
    "scienceworld-chat": Case(
        **SCIENCEWORLD, prompt="chat", plans=("arpo", "ettrl"), limits={"max_turns": 3}
    ),
    "webshop-step": Case(**WEBSHOP, prompt="step-strict"),
    "coin-plain": Case(**COIN, **EAGER, prompt="plain", limits={"max_context": 110}),
    "treasure-window": Case(**TREASURE, prompt="chat-strict", context="window(1)", lockstep=True),
}
SLOW = {
    "alfworld-window": Case(**ALFWORLD, prompt="chat-strict", context="window(2)"),
    "alfworld-plain": Case(**ALFWORLD, **EAGER, prompt="plain", limits={"max_context": 450}),
    "scienceworld-step": Case(
        **SCIENCEWORLD,
        prompt="step",
        lockstep=True,
        plans=("aepo", "fixed", "cure", "ettrl", "inside"),
    ),
    "webshop-plain": Case(**WEBSHOP, prompt="plain", lockstep=True),
    "webshop-window": Case(**WEBSHOP, prompt="chat", context="window(0)"),
    "coin-step": Case(**COIN, **EAGER, prompt="step", lockstep=True),
    "cooking-chat": Case(**COOKING, **EAGER, prompt="chat-strict", limits={"max_context": 2600}),
}
CASES = FAST | SLOW


@dataclass
class Played:
    """A forest, and what was noted while it grew."""

    case: Case
    settings: EpisodeSettings
    policy: WanderingPolicy
    stored: dict[str, list[list[int]]]
    forest: Forest
    counts: PoolCounts
    again: dict[tuple[str, int], Any]

    def trees(self, kinds: set[str]) -> list[Tree]:
        return [t for name, t in zip(self.case.plans, self.forest, strict=True) if name in kinds]


class Answers:
    """Stored answers by task."""

    def __init__(self, stored: Mapping[str, list[list[int]]], turns: int) -> None:
        self._stored, self._turns = stored, turns

    def answers(self, task_id: str) -> list[list[int]]:
        return self._stored[task_id][: self._turns]


def tasks_of(case: Case) -> list[Task]:
    """Return a task for each tree."""
    try:
        panel = env_class(case.env_id).panel("train", **case.options)
        env_class(case.env_id).prepare(panel)
    except (MissingExtraError, DataError) as error:
        pytest.skip(str(error))
    tasks = [replace(task, options={**task.options, **case.task}) for task in panel]
    tasks = with_expert(tasks) if case.expert else tasks
    return [tasks[number % len(tasks)] for number in range(len(case.plans))]


async def play(case: Case, tokenizer: Any) -> Played:
    """Grow a tree by each kind of plan, then play each leaf again."""
    prompt = choose(env_class(case.env_id), case.prompt)
    per_turn = hasattr(prompt, "message")
    settings = episode_settings(
        tokenizer,
        prompt=prompt,
        context=ContextMode.choose(case.context, per_turn=per_turn),
        invalid_action_penalty=0.25,
        **LIMITS | dict(case.limits),
    )
    tasks = tasks_of(case)
    policy = WanderingPolicy(tokenizer, prompt, 1, seconds=0.0 if case.lockstep else 0.01)
    async with EnvPool(case.workers, env_ids=[case.env_id], call_timeout=120.0) as pool:
        scheduler = RolloutScheduler(pool, settings, deterministic=case.lockstep)
        first = await scheduler.collect(tasks, policy, group_size=1, tree_prefix="first-")
        stored = {tree.task.id: answers_of(tree, tree.episodes[0]) for tree in first}
        forest = await scheduler.collect(
            tasks, policy, group_size=GROUP_SIZE, plan_of=planner(case, tokenizer, stored)
        )
        counts = replace(pool.counts)
        again = {}
        async with pool.lease() as handle:
            for tree, episode in forest.counted():
                again[tree.id, episode.id] = await played_again(
                    handle, tree.task, answers_of(tree, episode), settings
                )
    return Played(case, settings, policy, stored, forest, counts, again)


def planner(case: Case, tokenizer: Any, stored: Mapping[str, list[list[int]]]) -> Any:
    """Return what makes the plan of each tree: another kind for each."""

    def make(tree: str, task: Task) -> Plan:
        name = case.plans[int(tree)]
        answers = Answers(stored, 1 if name == "inside" else 99)
        maker = PlanMaker(tokenizer, 7, GROUP_SIZE, stored=answers)
        return maker.of(rollout_strategy(PLANS[name]))(tree, task)

    return make


@pytest.fixture(
    scope="module",
    params=[*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)],
)
def played(request: pytest.FixtureRequest, tiny_tokenizer: Any) -> Iterator[Played]:
    case = CASES[request.param]
    with pytest.MonkeyPatch.context() as patch:
        if case.eager:
            patch.setattr(handle_module, "_FORK_FACTOR", 0.0)
        yield run(play(case, tiny_tokenizer), 300.0)


def test_every_leaf_is_what_its_answers_give_in_a_fresh_environment(played: Played):
    assert len(played.again) > 0
    for tree, episode in played.forest.counted():
        assert recorded(tree, episode) == played.again[tree.id, episode.id]


def test_every_kind_of_plan_has_branched_as_it_should(played: Played):
    case, trees = played.case, dict(zip(played.case.plans, played.forest, strict=True))
    for name, tree in trees.items():
        assert all(episode.counts for episode in tree.episodes), played.forest.failures()
        strategy = rollout_strategy(PLANS[name])
        assert len(tree.episodes) == getattr(strategy, "rollouts", GROUP_SIZE)
        places = [e.forked_at for e in tree.episodes if e.forked_at is not None]
        if name in FORKS_TURNS:
            assert places and all(turn > 0 and token == 0 for turn, token in places)
        elif name in FORKS_ANSWERS:
            assert any(token > 0 for _, token in places)
        else:
            assert any(node.info.get("given") for node in tree.nodes) and not places
    assert min(played.policy.begun[True], played.policy.begun[False]) > 0
    assert played.counts.replayed > 0
    allowed = env_class(case.env_id).placement.fork_process
    assert (
        played.counts.forked > 0 if allowed and case.eager else allowed or not played.counts.forked
    )


def test_a_branch_shares_all_that_came_before_it_and_nothing_after(played: Played):
    for tree in played.forest:
        tree.check()
        reached = {
            node.id for e in tree.episodes for last in e.sequences for node in tree.path(last)
        }
        assert reached == set(range(len(tree.nodes)))
        for episode in tree.episodes:
            if episode.parent_episode is None:
                continue
            turn, token = episode.forked_at
            own, other = (
                spans_of(tree, e) for e in (episode, tree.episodes[episode.parent_episode])
            )
            assert own[:turn] == other[:turn]
            assert tree.path(own[turn][0].id)[:-1] == tree.path(other[turn][0].id)[:-1]
            begun = [node for node in own[turn] if node in other[turn]]
            assert begun == own[turn][: len(begun)] == other[turn][: len(begun)]
            assert sum(len(node.ids) for node in begun) == token
            after = [{n.id for spans in turns[turn:] for n in spans} for turns in (own, other)]
            assert after[0] & after[1] == {node.id for node in begun}


def test_each_turn_was_asked_for_with_what_the_tree_shows_before_it_and_is_kept_whole(
    played: Played,
):
    for tree in played.forest:
        for episode in tree.episodes:
            for turn, spans in enumerate(spans_of(tree, episode)):
                found = played.policy.answered.get((EpisodeKey(tree.id, episode.id), turn))
                if found is None:
                    continue
                own = sampled_by(tree, episode, turn, spans)
                asked = played.policy.asked[EpisodeKey(tree.id, episode.id), turn]
                assert tree.ids(own[0].parent) == asked
                for name in ("ids", "logprobs", "entropies"):
                    assert joined(own, name) == getattr(found, name)
                assert expanded(joined(own, "versions")) == expanded(found.versions)
                assert len(found.ids) <= played.settings.max_tokens_per_turn


def sampled_by(tree: Tree, episode: Episode, turn: int, spans: list[Node]) -> list[Node]:
    """Return the spans of a turn that the episode sampled itself."""
    if episode.forked_at is not None and episode.forked_at[0] == turn:
        ends = list(accumulate(len(node.ids) for node in spans))
        return [node for node, end in zip(spans, ends, strict=True) if end > episode.forked_at[1]]
    return [node for node in spans if node.writer is Writer.MODEL]


def joined(nodes: Sequence[Node], name: str) -> list[Any]:
    return [value for node in nodes for value in getattr(node, name)]


def expanded(runs: Sequence[tuple[int, int]]) -> list[int]:
    return [version for version, count in runs for _ in range(count)]


def test_each_branch_is_trained_once_on_its_own_tokens_and_on_what_it_was_not_given(
    played: Played,
):
    found = rows(played.forest)
    columns = zip(found.batch.ids_BT, found.batch.stats[Stat.ROLLOUT_LOGPROBS], strict=True)
    trained: dict[tuple[str, int], list[tuple[int, float]]] = {}
    for row, mask_T, (ids_T, logprobs_T) in zip(
        found.rows, found.batch.mask_BT, columns, strict=True
    ):
        count = int(mask_T.sum())
        pairs = zip(ids_T[:count].tolist(), logprobs_T[:count].tolist(), strict=True)
        trained.setdefault((str(row.tree), row.episode), []).extend(pairs)
    for tree, episode in played.forest.counted():
        wanted = to_train(played, tree, episode)
        got = trained.pop((tree.id, episode.id), [])
        assert [token for token, _ in got] == [token for token, _ in wanted]
        assert [value for _, value in got] == pytest.approx([value for _, value in wanted])
    assert not trained


def to_train(played: Played, tree: Tree, episode: Episode) -> list[tuple[int, float]]:
    """Return tokens and log-probs an episode is to be trained on, from what the policy noted."""
    return [pair for turn in turns_to_train(played, tree, episode).values() for pair in turn]


def turns_to_train(
    played: Played, tree: Tree, episode: Episode
) -> dict[int, list[tuple[int, float]]]:
    turns: dict[int, list[tuple[int, float]]] = {}
    if played.case.plans[int(tree.id)] in FORKS_TURNS and episode.parent_episode is not None:
        before = turns_to_train(played, tree, tree.episodes[episode.parent_episode])
        turns = {turn: pairs for turn, pairs in before.items() if turn < episode.forked_at[0]}
    for turn in range(episode.turns + 1):
        found = played.policy.answered.get((EpisodeKey(tree.id, episode.id), turn))
        if found is not None:
            turns[turn] = list(zip(found.ids, found.logprobs, strict=True))
    return turns


def test_a_forest_of_branches_is_read_as_it_was_written(played: Played, tmp_path: Path):
    write_forest(played.forest, tmp_path / "forest.jsonl")
    assert read_forest(tmp_path / "forest.jsonl") == played.forest
