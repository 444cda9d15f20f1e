"""One episode: a coroutine that plays a task and grows its tree."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from agentrl.engines.base import Completion
from agentrl.envs.base import Info, Prompt, episode_metrics
from agentrl.errors import AgentRLError, ContextOverflow, EngineError, EnvironmentFailure
from agentrl.rollout.policy import EpisodeKey, Policy
from agentrl.rollout.workers import EnvHandle, EnvPool
from agentrl.tokens import ContextMode, Conversation, Renderer
from agentrl.tree import Episode, Node, StopReason, Tree, Writer


@dataclass(frozen=True, kw_only=True)
class EpisodeSettings:
    """What all episodes of a rollout have in common.

    Attributes:
        renderer: messages to token ids.
        prompt: how the environment talks to the model.
        context: one growing sequence, or a window of turns.
        max_turns: most actions.
        max_tokens_per_turn: most tokens sampled for one action.
        max_context: longest sequence the model can read, in tokens.
    """

    renderer: Renderer
    prompt: Prompt
    context: ContextMode
    max_turns: int
    max_tokens_per_turn: int
    max_context: int


async def play(
    tree: Tree, episode: Episode, settings: EpisodeSettings, pool: EnvPool, policy: Policy
) -> None:
    """Play one episode of `tree.task`; every outcome is recorded in `episode`.

    Failures of the environment, of its prompt or of the engine end this episode with a typed
    reason; they are never raised, so that siblings go on.  Cancellation is recorded and passed on.

    Raises:
        ContextOverflow: the first prompt does not fit the context: no episode of the task can run.
    """
    key = EpisodeKey(tree.id, episode.id)
    started = time.perf_counter()
    try:
        async with pool.lease() as handle:
            await _Player(tree, episode, settings, handle, policy, key).run()
    except EnvironmentFailure as error:
        timeout = error.kind == "timeout"
        _fail(episode, StopReason.ENV_TIMEOUT if timeout else StopReason.ENV_ERROR, error)
        episode.error_kind = error.kind
    except EngineError as error:
        _fail(episode, StopReason.ENGINE_ERROR, error)
        episode.error_kind = "engine"
    except BaseException as error:
        _fail(episode, StopReason.CANCELLED, error)
        raise
    finally:
        episode.seconds = time.perf_counter() - started
        policy.finish(key)


def _fail(episode: Episode, stop: StopReason, error: BaseException) -> None:
    episode.stop = stop
    episode.error = str(error) or type(error).__name__


@contextmanager
def _prompt_failures(prompt: Prompt) -> Iterator[None]:
    """Report what an environment's prompt raises as a failure of that environment."""
    try:
        yield
    except AgentRLError:
        raise
    except Exception as error:
        where = f"the environment's prompt ({type(prompt).__name__})"
        raise EnvironmentFailure(f"In {where}: {type(error).__name__}: {error}") from error


class _Player:
    """The state of one running episode."""

    def __init__(
        self,
        tree: Tree,
        episode: Episode,
        settings: EpisodeSettings,
        handle: EnvHandle,
        policy: Policy,
        key: EpisodeKey,
    ) -> None:
        self.tree = tree
        self.episode = episode
        self.settings = settings
        self.handle = handle
        self.policy = policy
        self.key = key
        self.conversation = Conversation(settings.renderer, settings.context)
        self.ids: list[int] = []
        self.node: Node | None = None

    async def run(self) -> None:
        """Play until a typed stop."""
        observation, info = await self.handle.reset(self.tree.task)
        prompt = self.settings.prompt
        with _prompt_failures(prompt):
            system, first = prompt.system(info), prompt.observe(observation, info)
        self._start_sequence(self.conversation.start(system, first), turn=0)
        stop: StopReason | None = None
        while stop is None:
            stop, info = await self._turn(info)
        self.episode.stop = stop
        self.episode.metrics = episode_metrics(info)

    async def _turn(self, info: Info) -> tuple[StopReason | None, Info]:
        """Sample, act, observe; return the stop reason, if any, and the new `info`."""
        settings, episode = self.settings, self.episode
        room = settings.max_context - len(self.ids)
        if room < 1:
            return self._out_of_context(), info
        completion = await self.policy.act(
            self.ids,
            key=self.key,
            turn=episode.turns,
            room=min(settings.max_tokens_per_turn, room),
            info=info,
        )
        node = self._add_model_turn(completion)
        if completion.stop == "length" and room < settings.max_tokens_per_turn:
            return StopReason.TRUNCATED_TOKENS, info  # half an action is not sent
        text = settings.renderer.parse(completion.ids).text
        with _prompt_failures(settings.prompt):
            parsed = settings.prompt.parse(text, info)
        started = time.perf_counter()
        observation, reward, terminated, truncated, info = await self.handle.step(parsed.action)
        waited = time.perf_counter() - started
        self._record(node, text, parsed.action, parsed.valid, reward, info)
        episode.turns += 1
        if terminated:
            return StopReason.TERMINATED, info
        if truncated or episode.turns >= settings.max_turns:
            return StopReason.TRUNCATED_TURNS, info
        with _prompt_failures(settings.prompt):
            message = settings.prompt.observe(observation, info)
        self._show(completion, message, waited)
        return None, info

    def _out_of_context(self) -> StopReason:
        if self.episode.turns == 0:
            raise ContextOverflow(
                f"The first prompt of task {self.tree.task.id!r} has {len(self.ids)} tokens, but "
                f"the context holds {self.settings.max_context}. Use a model with a longer "
                "context (`model.max_context`), or a shorter prompt."
            )
        return StopReason.TRUNCATED_TOKENS

    def _start_sequence(self, ids: list[int], turn: int) -> None:
        """Start a new sequence; siblings that start with the same ids share the node."""
        roots = (node for node in self.tree.nodes if node.parent is None and node.ids == ids)
        node = next(roots, None) or self.tree.add(None, Writer.ENVIRONMENT, ids, turn=turn)
        node.turn = min(node.turn, turn)  # whichever sibling came first
        self.node = node
        self.ids = list(ids)
        self.episode.sequences.append(self.node.id)

    def _append(self, writer: Writer, ids: list[int], **fields: object) -> Node:
        assert self.node is not None
        self.node = self.tree.add(self.node.id, writer, ids, turn=self.episode.turns, **fields)
        self.ids += ids
        self.episode.sequences[-1] = self.node.id
        return self.node

    def _add_model_turn(self, completion: Completion) -> Node:
        return self._append(
            Writer.MODEL,
            completion.ids,
            logprobs=completion.logprobs,
            entropies=completion.entropies,
            entropy_exact=completion.entropy_exact,
            versions=completion.versions,
            seconds=completion.seconds,
            info={"stop": completion.stop},
        )

    def _record(
        self, node: Node, text: str, action: str, valid: bool, reward: float, info: Info
    ) -> None:
        node.reward = reward
        node.info |= {
            "text": text,
            "action": action,
            "action_valid": valid and bool(info.get("action_valid", True)),
            "anchor": info.get("anchor"),
        }
        self.episode.reward += reward

    def _show(self, completion: Completion, message: str, waited: float) -> None:
        """Append the next observation, or start a new sequence where that is not possible."""
        extension = self.conversation.extend(completion.ids, message)
        if extension.restart:
            self._start_sequence(extension.ids, turn=self.episode.turns)
            return
        if extension.closing:
            self._append(Writer.TEMPLATE, extension.closing)
        self._append(Writer.ENVIRONMENT, extension.ids, seconds=waited)
