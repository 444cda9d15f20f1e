"""One episode: the tree holds exactly what the engine was given and what it answered."""

from __future__ import annotations

import pytest
import torch

from agentrl.learner.rows import rows
from agentrl.rollout.episode import play
from agentrl.rollout.workers import EnvPool
from agentrl.tokens import ContextMode
from agentrl.tree import Forest, StopReason, Tree, Writer
from tests.engines.engine_samples import plain_copy
from tests.rollout.restless import ENV_ID, RestlessEnv
from tests.rollout.rollouts import WatchedEngine, episode_settings, model_policy, run


async def play_group(model, tokenizer, *, episodes=3, seed=3, **options):
    """Play episodes of one task one after the other; returns (tree, engine, settings)."""
    settings = episode_settings(tokenizer, **options)
    engine = WatchedEngine(model, tokenizer)
    policy = model_policy(engine, settings)
    tree = Tree("t", RestlessEnv.panel("train", seed + 1)[seed])
    async with EnvPool(1, env_ids=(ENV_ID,)) as pool:
        for _ in range(episodes):
            await play(tree, tree.add_episode(), settings, pool, policy)
    await engine.close()
    tree.sort()
    return tree, engine, settings


def prompts_in(tree, episode):
    """(prompt ids, sampled ids) of every model turn of an episode, read from the tree."""
    turns = []
    for node in tree.model_nodes(episode):
        turns.append((tree.ids(node.parent), node.ids))
    return turns


@pytest.mark.parametrize("context", ["full", "window(2)", "window(0)"])
def test_every_node_chain_is_what_the_engine_was_given(tiny_model, tiny_tokenizer, context):
    tree, engine, _ = run(
        play_group(tiny_model, tiny_tokenizer, context=ContextMode.parse(context))
    )
    tree.check()
    for episode in tree.episodes:
        session = f"t#{episode.id}"
        asked = [prompt for name, prompt in engine.asked if name == session]
        stored = prompts_in(tree, episode)
        assert [prompt for prompt, _ in stored] == asked
        assert len(stored) == episode.turns == 5
        assert stored[-1][1] == engine.answered[session, len(asked[-1])]
        assert len(episode.sequences) == (1 if context == "full" else episode.turns)
        assert episode.stop is StopReason.TRUNCATED_TURNS


@pytest.mark.parametrize("context", ["full", "window(2)"])
def test_log_probs_of_the_learner_s_rows_are_those_of_a_plain_forward(
    tiny_model, tiny_tokenizer, context
):
    tree, _, _ = run(play_group(tiny_model, tiny_tokenizer, context=ContextMode.parse(context)))
    plain = plain_copy(tiny_model)
    found = rows(Forest([tree]))
    assert len(found.rows) == (3 if context == "full" else 15)
    for row, mask_T in zip(found.rows, found.batch.mask_BT, strict=True):
        ids = tree.ids(row.last)
        with torch.no_grad():
            table = torch.log_softmax(plain(torch.tensor([ids])).logits[0].double(), -1)
        position, expected = 0, []
        for node in tree.path(row.last):
            if node.id in row.nodes:
                at = range(position, position + len(node.ids))
                expected += [float(table[p - 1, ids[p]]) for p in at]
                torch.testing.assert_close(
                    torch.tensor(expected[-len(node.ids) :]),
                    torch.tensor(node.logprobs),
                    atol=1e-4,
                    rtol=0,
                )
            position += len(node.ids)
        assert int(mask_T.sum()) == len(expected)
    total = sum(len(n.ids) for n in tree.nodes if n.writer is Writer.MODEL)
    assert int(found.batch.mask_BT.sum()) == total


def test_rewards_are_those_of_the_environment(tiny_model, tiny_tokenizer):
    tree, _, _ = run(play_group(tiny_model, tiny_tokenizer, seed=0))
    for episode in tree.episodes:
        nodes = list(tree.model_nodes(episode))
        assert [node.reward for node in nodes] == [len(n.info["action"]) / 10 for n in nodes]
        assert episode.reward == pytest.approx(sum(node.reward for node in nodes))
        assert episode.stop is StopReason.TERMINATED and episode.metrics["success"] == 1.0


def test_an_episode_that_fills_the_context_is_truncated_not_failed(tiny_model, tiny_tokenizer):
    tree, engine, settings = run(
        play_group(tiny_model, tiny_tokenizer, max_context=70, max_turns=50)
    )
    for episode in tree.episodes:
        assert episode.stop is StopReason.TRUNCATED_TOKENS
        assert episode.counts and "success" in episode.metrics
        assert 0 < episode.turns < 5
        longest = max(len(tree.ids(last)) for last in episode.sequences)
        assert longest > settings.max_context - settings.max_tokens_per_turn
    # An action that the end of the context has cut short is not sent to the environment.
    for episode in tree.episodes:
        nodes = list(tree.model_nodes(episode))
        assert sum("action" in node.info for node in nodes) == episode.turns
    assert max(len(prompt) for _, prompt in engine.asked) < 70


def test_siblings_share_their_first_prompt_and_its_turn_is_the_earliest(tiny_model, tiny_tokenizer):
    tree, _, _ = run(play_group(tiny_model, tiny_tokenizer, context=ContextMode.parse("window(0)")))
    roots = [node for node in tree.nodes if node.parent is None]
    assert len({tuple(root.ids) for root in roots}) == len(roots)
    assert roots[0].turn == 0
    for root in roots:
        children = [n for n in tree.nodes if n.parent == root.id and n.writer is Writer.MODEL]
        assert root.turn == min(child.turn for child in children)
