"""Groups of episodes: order, resampling, cancellation, determinism."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from agentrl.errors import ContextOverflow
from agentrl.learner.rows import rows
from agentrl.rollout import scheduler as scheduler_module
from agentrl.rollout.scheduler import RolloutLimits, RolloutScheduler
from agentrl.rollout.workers import EnvPool
from agentrl.storage import ForestWriter, read_forest, tree_to_json
from agentrl.tree import Forest, StopReason, Tree
from tests.envs.corridor import Corridor
from tests.envs.faulty import ENV_ID as FAULTY
from tests.envs.faulty import FaultyEnv
from tests.rollout.restless import RestlessEnv
from tests.rollout.rollouts import WatchedEngine, episode_settings, model_policy, run


async def collect(
    model, tokenizer, tasks, *, workers=4, group_size=3, deterministic=True, resamples=4, **options
):
    """Play tasks with a real engine in real processes; returns (forest, engine, finished ids)."""
    engine_options = {key: options.pop(key) for key in ("fail_at",) if key in options}
    call_timeout = options.pop("call_timeout", 10.0)
    settings = episode_settings(tokenizer, **options)
    engine = WatchedEngine(model, tokenizer, **engine_options)
    finished = []
    ids = tuple({task.env_id for task in tasks})
    async with EnvPool(workers, env_ids=ids, call_timeout=call_timeout) as pool:
        scheduler = RolloutScheduler(
            pool, settings, RolloutLimits(max_resamples=resamples), deterministic=deterministic
        )
        forest = await scheduler.collect(
            tasks,
            model_policy(engine, settings),
            group_size=group_size,
            tree_prefix="t",
            on_tree=lambda tree: finished.append(tree.id),
        )
    await engine.close()
    return forest, engine, finished


@pytest.mark.parametrize("deterministic", [False, True])
def test_trees_come_in_task_order_sorted_and_complete(tiny_model, tiny_tokenizer, deterministic):
    tasks = [*RestlessEnv.panel("train", 5), RestlessEnv.panel("train", 5)[0]]
    forest, engine, finished = run(
        collect(tiny_model, tiny_tokenizer, tasks, deterministic=deterministic)
    )
    assert [tree.id for tree in forest] == [f"t{i}" for i in range(6)]
    assert [tree.task for tree in forest] == tasks
    assert sorted(finished) == [tree.id for tree in forest]
    for tree in forest:
        tree.check()
        before = tree_to_json(tree)
        tree.sort()
        assert tree_to_json(tree) == before
        assert [episode.id for episode in tree.episodes] == [0, 1, 2]
        assert all(e.turns == min(5, 3 + tree.task.seed % 4) for e in tree.episodes)
        assert sum(node.parent is None for node in tree.nodes) == 1  # the shared prompt
    assert sorted(engine.released) == sorted(f"t{i}#{j}" for i in range(6) for j in range(3))


def test_with_lockstep_timing_leaves_no_trace(tiny_model, tiny_tokenizer):
    tasks = RestlessEnv.panel("train", 5).tasks

    def once():
        forest, engine, _ = run(collect(tiny_model, tiny_tokenizer, tasks, workers=6, group_size=4))
        for tree in forest:
            for item in [*tree.nodes, *tree.episodes]:
                item.seconds = 0.0
        # Log-probs are compared bit for bit, and requests in the order in which they came.
        return [tree_to_json(tree) for tree in forest], engine.asked

    assert once() == once()


def test_failed_members_are_replaced_recorded_and_left_out(tiny_model, tiny_tokenizer, tmp_path):
    tasks = FaultyEnv.panel("train", count=6, kinds=["raise", "exit", "types", "garbage"]).tasks
    forest, _, _ = run(collect(tiny_model, tiny_tokenizer, tasks, group_size=2, resamples=2))
    with ForestWriter(tmp_path / "stored.jsonl") as writer:
        for tree in forest:
            writer.write(tree)
    for tree in read_forest(tmp_path / "stored.jsonl"):
        counted = tree.counted()
        failed = [episode for episode in tree.episodes if not episode.counts]
        # Equal seeds fail alike, so a group is either whole or has drawn until the limit.
        assert (len(counted), len(failed)) in {(2, 0), (0, 4)}
        for episode in failed:
            assert episode.stop is StopReason.ENV_ERROR
            assert episode.error_kind in {"raised", "died", "contract"}
            assert FAULTY in episode.error and not episode.metrics
    failures = forest.failures()
    assert sum(failures.values()) >= 4 and all(key.startswith("env_error/") for key in failures)
    found = rows(forest)
    assert len(found.rows) == len(forest.counted())
    assert found.batch.returns_B.tolist() == [1.0] * len(found.rows)


def test_a_hanging_environment_ends_its_own_episode_only(tiny_model, tiny_tokenizer):
    hang = FaultyEnv.panel("train", count=1, kinds=["hang"], rate=1.0)[0]
    tasks = [hang, *RestlessEnv.panel("train", 2)]
    forest, _, _ = run(
        collect(tiny_model, tiny_tokenizer, tasks, group_size=2, resamples=1, call_timeout=0.5)
    )
    assert forest.failures() == {"env_timeout/timeout": 3}
    assert "within 0.5 s" in forest[0].episodes[0].error
    assert [len(tree.counted()) for tree in forest] == [0, 2, 2]


@pytest.mark.parametrize("deterministic", [False, True])
def test_an_engine_failure_is_recorded_while_siblings_go_on(
    tiny_model, tiny_tokenizer, deterministic
):
    tasks = Corridor.panel("train", 3).tasks
    forest, _, _ = run(
        collect(
            tiny_model,
            tiny_tokenizer,
            tasks,
            workers=2,
            group_size=2,
            deterministic=deterministic,
            fail_at=[2],
        )
    )
    failed = [e for tree in forest for e in tree.episodes if e.stop is StopReason.ENGINE_ERROR]
    assert 1 <= len(failed) <= 2  # all requests of the failed step
    assert all(e.error_kind == "engine" and "on fire" in e.error for e in failed)
    assert [len(tree.counted()) for tree in forest] == [2, 2, 2]  # drawn again


def test_a_prompt_that_raises_fails_its_episodes_with_its_name(tiny_model, tiny_tokenizer):
    class Broken(type(episode_settings(tiny_tokenizer).prompt)):
        def parse(self, text, info):
            return info["no such key"]

    tasks = Corridor.panel("train", 2).tasks
    forest, _, _ = run(
        collect(tiny_model, tiny_tokenizer, tasks, group_size=1, resamples=0, prompt=Broken())
    )
    assert forest.failures() == {"env_error/raised": 2}
    assert "(Broken): KeyError: 'no such key'" in forest[0].episodes[0].error


def test_cancelling_a_collection_records_it_and_frees_the_engine(
    tiny_model, tiny_tokenizer, monkeypatch
):
    seen = []

    def tree(*arguments):
        seen.append(Tree(*arguments))
        return seen[-1]

    monkeypatch.setattr(scheduler_module, "Tree", tree)

    async def main():
        settings = episode_settings(tiny_tokenizer, max_turns=1000, max_context=100_000)
        engine = WatchedEngine(tiny_model, tiny_tokenizer)
        tasks = [FaultyEnv.panel("train", count=1, kinds=["hang"], rate=1.0)[0]]
        async with EnvPool(2, env_ids=(FAULTY,)) as pool:
            scheduler = RolloutScheduler(pool, settings, deterministic=True)
            work = asyncio.create_task(
                scheduler.collect(tasks, model_policy(engine, settings), group_size=2)
            )
            while len(engine.answered) < 2:
                await asyncio.sleep(0.01)
            work.cancel()
            with pytest.raises(asyncio.CancelledError):
                await work
        assert not engine._scheduler.running and not engine._scheduler.waiting
        await engine.close()

    run(main())
    assert [episode.stop for tree in seen for episode in tree.episodes] == [
        StopReason.CANCELLED
    ] * 2


def test_a_first_prompt_that_does_not_fit_is_one_clear_error(tiny_model, tiny_tokenizer):
    tasks = RestlessEnv.panel("train", 3).tasks
    with pytest.raises(ContextOverflow, match=r"task '.' has \d+ tokens.*context holds 5"):
        run(collect(tiny_model, tiny_tokenizer, tasks, max_context=5))


def test_no_tasks_give_an_empty_forest(tiny_model, tiny_tokenizer):
    forest, _, _ = run(collect(tiny_model, tiny_tokenizer, []))
    assert forest == Forest([])


def test_fewer_workers_than_episodes_play_them_all(tiny_model, tiny_tokenizer):
    tasks = RestlessEnv.panel("train", 3).tasks
    forest, engine, _ = run(collect(tiny_model, tiny_tokenizer, tasks, workers=2, group_size=3))
    assert len(forest.counted()) == 9
    assert max(Counter(session for session, _ in engine.asked).values()) == 5
