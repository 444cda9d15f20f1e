"""Tool episodes: what a tree holds is what was sampled and what was shown, token for token.

Model turns are random ids, which no encoding of their text gives back, with a call, an answer or
nothing at their end; environments are real worker processes.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agentrl.algorithms.statistics import Stat
from agentrl.config import load_config
from agentrl.engines import Completion, SamplingParams
from agentrl.envs import Info, env_class
from agentrl.envs.tooluse.action import answer_text, call_text
from agentrl.learner.rows import rows
from agentrl.rollout.episode import EpisodeSettings
from agentrl.rollout.plan import FromPrompt
from agentrl.rollout.policy import EpisodeKey, ModelPolicy
from agentrl.rollout.scheduler import RolloutScheduler
from agentrl.rollout.workers import EnvPool
from agentrl.tokens import Renderer
from agentrl.tools.dialects import DIALECTS
from agentrl.tree import Episode, Forest, Node, StopReason, Tree, Writer
from agentrl.types import Continued
from tests.rollout.rollouts import WatchedEngine, episode_settings, run
from tests.rollout.test_branching import Scripted

ENV_ID = "agentrl/SearchQA-v0"
TASKS = env_class(ENV_ID).panel("train", count=3, hops=[1, 2], topk=2).tasks
TURNS = 4


@dataclass
class RandomTurns:
    """Says random ids, then a call or the answer; remembers all it was shown and said."""

    tokenizer: Any
    settings: EpisodeSettings
    said: dict[tuple[EpisodeKey, int], tuple[list[int], Completion]] = field(default_factory=dict)

    async def act(
        self, prompt_ids: Sequence[int], *, key: EpisodeKey, turn: int, room: int, info: Info
    ) -> Completion:
        rng = random.Random(f"{key} {turn}")
        special = set(self.tokenizer.all_special_ids)
        ids = [i for i in rng.choices(range(len(self.tokenizer)), k=12) if i not in special]
        ids += self._encoded(self._action(rng, turn, info))
        tags = bool(self.settings.prompt.stop_strings)
        if not tags:
            ids.append(self.settings.renderer.end_of_turn_id)
        completion = Completion(
            ids=ids,
            logprobs=[-rng.random() for _ in ids],
            entropies=[rng.random() for _ in ids],
            stop="stop_string" if tags else "stop_id",
            versions=[(0, len(ids))],
        )
        self.said[key, turn] = list(prompt_ids), completion
        return completion

    def finish(self, key: EpisodeKey) -> None:
        pass

    def _action(self, rng: random.Random, turn: int, info: Info) -> str:
        if turn == TURNS - 1:
            return self.settings.prompt.answer(answer_text("nobody"))
        actions = [a for a in info["admissible_actions"] if not a.startswith("answer")]
        return self.settings.prompt.answer(
            rng.choice([*actions, call_text("search", "é\U0001f642")])
        )

    def _encoded(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids


def settings_of(tokenizer: Any, prompt: str) -> EpisodeSettings:
    prompts = env_class(ENV_ID).prompts
    return episode_settings(
        tokenizer,
        prompt=prompts[prompt],
        max_turns=TURNS,
        max_tokens_per_turn=400,
        max_context=8000,
    )


async def collected(policy: Any, settings: EpisodeSettings, script: Any = None) -> Forest:
    async with EnvPool(4, env_ids=(ENV_ID,)) as pool:
        scheduler = RolloutScheduler(pool, settings)
        plan_of = None if script is None else lambda *_: Scripted(script)
        try:
            return await scheduler.collect(TASKS, policy, group_size=2, plan_of=plan_of)
        finally:
            await scheduler.close()


def own_turns(policy: RandomTurns, tree: Tree, episode: Episode) -> dict[int, tuple[Any, Any]]:
    """Return by turn what an episode was shown and said itself."""
    return {
        turn: said
        for (key, turn), said in policy.said.items()
        if (key.tree, key.episode) == (tree.id, episode.id)
    }


def path_of(tree: Tree, episode: Episode) -> list[Node]:
    assert len(episode.sequences) == 1
    return tree.path(episode.sequences[0])


@dataclass
class Played:
    """A rollout in one dialect, and every text that was encoded for it."""

    settings: EpisodeSettings
    policy: RandomTurns
    encoded: list[str] = field(default_factory=list)
    forest: Forest = field(default_factory=Forest)

    def encode(self, text: str) -> list[int]:
        self.encoded.append(text)
        return Renderer._encode(self.settings.renderer, text)


@pytest.fixture(scope="module", params=DIALECTS)
def played(tiny_tokenizer: Any, request: pytest.FixtureRequest) -> Played:
    settings = settings_of(tiny_tokenizer, request.param)
    found = Played(settings, RandomTurns(tiny_tokenizer, settings))
    settings.renderer._encode = found.encode  # type: ignore[method-assign]
    found.forest = run(collected(found.policy, settings))
    return found


def test_a_tree_holds_what_was_sampled_and_what_was_shown(played: Played):
    policy = played.policy
    for tree in played.forest:
        tree.check()
        for episode in tree.episodes:
            assert (episode.stop, episode.turns) == (StopReason.TERMINATED, TURNS)
            nodes, turns = path_of(tree, episode), own_turns(policy, tree, episode)
            models = [node for node in nodes if node.writer is Writer.MODEL]
            for turn, node in enumerate(models):
                shown, completion = turns[turn]
                before = [i for n in nodes[: nodes.index(node)] for i in n.ids]
                assert before == shown
                assert (node.ids, node.logprobs) == (completion.ids, completion.logprobs)
                assert node.entropies == completion.entropies
            assert tree.ids(nodes[-1].id) == turns[TURNS - 1][0] + turns[TURNS - 1][1].ids


def test_what_lies_between_two_turns_is_the_result_encoded_by_itself(played: Played):
    prompt, renderer = played.settings.prompt, played.settings.renderer
    for tree in played.forest:
        for episode in tree.episodes:
            nodes = path_of(tree, episode)
            for node, after in itertools.pairwise(nodes):
                if node.writer is not Writer.MODEL:
                    continue
                call = prompt.dialect.read(node.info["text"], prompt.schemas).calls[0]
                assert call.name == "search"
                text = after_next(tree, node, nodes)
                results = [{"name": "search", "text": text, "error": None}]
                shown = prompt.observe(text, {"tool_results": results})
                if isinstance(shown, Continued):
                    assert after.ids == renderer.continuation(shown.text)
                else:
                    bridge = renderer.bridge(shown, ended=True, tools=prompt.tools)
                    assert after.ids == bridge.ids


def after_next(tree: Tree, node: Node, nodes: list[Node]) -> str:
    """Return what the environment said to a turn: the observation that the next one answers."""
    models = [other for other in nodes if other.writer is Writer.MODEL]
    text = models[models.index(node) + 1].info["observation"]
    assert isinstance(text, str)
    return text


def test_the_learner_trains_sampled_tokens_only_and_all_of_them(played: Played):
    sampled = sum(len(completion.ids) for _, completion in played.policy.said.values())
    found = rows(played.forest)
    batch, mask = found.batch, found.batch.mask_BT.bool()
    assert int(mask.sum()) == sampled
    for number, row in enumerate(found.rows):
        spans = found.spans(row)
        assert {span.writer for span in spans} == {Writer.MODEL}
        assert batch.ids_BT[number][mask[number]].tolist() == [i for s in spans for i in s.ids]
        logprobs = batch.stats[Stat.ROLLOUT_LOGPROBS][number][mask[number]]
        assert logprobs.tolist() == pytest.approx([x for s in spans for x in s.logprobs])


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_branch_copies_its_beginning_and_goes_its_own_way(tiny_tokenizer: Any, dialect: str):
    settings = settings_of(tiny_tokenizer, dialect)
    policy = RandomTurns(tiny_tokenizer, settings)
    script = {(0, 2): [FromPrompt(source=0, turn=2)]}
    for tree in run(collected(policy, settings, script)):
        root, branch = tree.episodes
        assert (branch.parent_episode, branch.forked_at) == (root.id, (2, 0))
        theirs, ours = path_of(tree, root), path_of(tree, branch)
        shared = [node.id for node, other in zip(theirs, ours, strict=False) if node is other]
        assert sum(tree.nodes[i].writer is Writer.MODEL for i in shared) == 2
        mine, full = own_turns(policy, tree, branch), own_turns(policy, tree, root)
        assert sorted(mine) == [2, 3]
        assert mine[2][0] == full[2][0] == [i for n in shared for i in tree.nodes[n].ids]
        assert mine[2][1].ids != full[2][1].ids
        assert tree.ids(ours[-1].id) == mine[3][0] + mine[3][1].ids
        # Its environment has made the calls of its parent, then its own.
        assert branch.stop is StopReason.TERMINATED and branch.turns == TURNS


def test_what_the_model_said_is_never_encoded_again(played: Played):
    parse = played.settings.renderer.parse
    said = [parse(done.ids).text[:12] for _, done in played.policy.said.values()]
    assert played.encoded
    assert not [text for text in played.encoded for begun in said if begun in text]


def test_an_engine_and_the_prompt_of_the_shipped_configuration_agree(
    tiny_model: Any, tiny_tokenizer: Any
):
    config = load_config(Path(__file__).parents[2] / "configs/searchqa.yaml")
    prompt = env_class(config.environment.id).prompts[config.environment.prompt]
    settings = episode_settings(
        tiny_tokenizer,
        prompt=prompt,
        max_turns=config.rollout.max_turns,
        max_tokens_per_turn=config.rollout.max_tokens_per_turn,
    )
    sampling = SamplingParams(
        max_tokens=settings.max_tokens_per_turn,
        stop_ids=settings.renderer.stop_ids,
        stop_strings=prompt.stop_strings,
    )

    async def main() -> tuple[Forest, WatchedEngine]:
        engine = WatchedEngine(tiny_model, tiny_tokenizer)
        try:
            return await collected(ModelPolicy(engine, sampling, 0), settings), engine
        finally:
            await engine.close()

    forest, engine = run(main(), 120.0)
    for tree in forest:
        for episode in tree.episodes:
            assert episode.stop is not None and not episode.stop.failed, episode.error
            for last in episode.sequences:
                held: list[int] = []
                for node in tree.path(last):
                    if node.writer is Writer.MODEL:
                        answered = engine.answered[f"{tree.id}#{episode.id}", len(held)]
                        assert node.ids == answered and len(node.logprobs) == len(node.ids)
                    held += node.ids
