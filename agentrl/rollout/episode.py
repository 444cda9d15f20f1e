"""One episode: a coroutine that plays a task and grows its tree."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from agentrl.engines.base import Completion
from agentrl.envs.base import Info, ParsedAction, PastStep, Prompt, episode_metrics
from agentrl.envs.prompts import is_step_prompt
from agentrl.errors import AgentRLError, ContextOverflow, EngineError, EnvironmentFailure
from agentrl.rollout.policy import EpisodeKey, Policy
from agentrl.rollout.prompting import Prompting
from agentrl.rollout.workers import EnvHandle, EnvPool
from agentrl.tokens import ContextMode, Conversation, Renderer
from agentrl.tree import Episode, Node, StopReason, Tree, Writer

NOTHING_DONE = "Your last answer could not be carried out: {reason}."
"""Leads the repeated observation where an answer held no action."""


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
        invalid_action_penalty: subtracted from the reward of a turn without the asked form.
        prompt_id: name and version of the prompt, for records.
        prompting: varies the system text from task to task; None leaves it.
    """

    renderer: Renderer
    prompt: Prompt
    context: ContextMode
    max_turns: int
    max_tokens_per_turn: int
    max_context: int
    invalid_action_penalty: float = 0.0
    prompt_id: str = ""
    prompting: Prompting | None = None


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
        self.observation = ""
        self.info: Info = {}
        self.past: list[PastStep] = []

    async def run(self) -> None:
        """Play until a typed stop."""
        self.observation, self.info = await self.handle.reset(self.tree.task)
        if self.info.get("task"):
            self.tree.info["task"] = self.info["task"]
        prompt = self.settings.prompt
        with _prompt_failures(prompt):
            system = prompt.system(self.info)
        if self.settings.prompting is not None:
            system = self.settings.prompting.system(system, self.tree.task, self.info)
        self._start_sequence(self.conversation.start(system, self._message()), turn=0)
        stop: StopReason | None = None
        while stop is None:
            stop = await self._turn()
        self.episode.stop = stop
        self.episode.metrics = episode_metrics(self.info)
        self.episode.answer = self.info.get("final_answer")

    async def _turn(self) -> StopReason | None:
        """Sample, act, observe; return the stop reason, if any."""
        settings = self.settings
        room = settings.max_context - len(self.ids)
        if room < 1:
            return self._out_of_context()
        completion = await self.policy.act(
            self.ids,
            key=self.key,
            turn=self.episode.turns,
            room=min(settings.max_tokens_per_turn, room),
            info=self.info,
        )
        node = self._add_model_turn(completion)
        if completion.stop == "length" and room < settings.max_tokens_per_turn:
            return StopReason.TRUNCATED_TOKENS  # half an action is not sent
        text = settings.renderer.parse(completion.ids).text
        with _prompt_failures(settings.prompt):
            parsed = settings.prompt.parse(text, self.info)
        started = time.perf_counter()
        stop = await self._act(node, text, parsed)
        waited = time.perf_counter() - started
        if stop is None:
            self._show(completion, self._message(parsed), waited)
        return stop

    async def _act(self, node: Node, text: str, parsed: ParsedAction) -> StopReason | None:
        """Send the action, if there is one, and record what came of it."""
        reward, terminated, truncated = 0.0, False, False
        seen, anchor = self.observation, self.info.get("anchor")
        if parsed.action is not None:
            result = await self.handle.step(parsed.action)
            self.past.append(PastStep(self.observation, parsed.action))
            self.observation, reward, terminated, truncated, info = result
            self.info = {**info, "task": info.get("task") or self.info.get("task", "")}
        self._record(node, text, parsed, reward)
        node.info |= {"observation": seen, "anchor": anchor}
        self.episode.turns += 1
        if terminated:
            return StopReason.TERMINATED
        if truncated or self.episode.turns >= self.settings.max_turns:
            return StopReason.TRUNCATED_TURNS
        return None

    def _message(self, parsed: ParsedAction | None = None) -> str:
        """Return the user message for the current observation, after `parsed` if it is repeated."""
        prompt = self.settings.prompt
        with _prompt_failures(prompt):
            if is_step_prompt(prompt):
                message = prompt.message(self.observation, self.info, self.past)
            else:
                message = prompt.observe(self.observation, self.info)
        if parsed is None or parsed.action is not None:
            return message
        return f"{NOTHING_DONE.format(reason=parsed.reason or 'it names no action')}\n{message}"

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

    def _record(self, node: Node, text: str, parsed: ParsedAction, reward: float) -> None:
        penalty = 0.0 if parsed.valid else self.settings.invalid_action_penalty
        node.reward = reward - penalty
        node.info |= {
            "text": text,
            "action": parsed.action,
            "action_valid": parsed.valid and bool(self.info.get("action_valid", True)),
            "format_valid": parsed.valid,
            "penalty": penalty,
        }
        self.episode.reward += node.reward

    def _show(self, completion: Completion, message: str, waited: float) -> None:
        """Append the next observation, or start a new sequence where that is not possible."""
        extension = self.conversation.extend(completion.ids, message)
        if extension.restart:
            self._start_sequence(extension.ids, turn=self.episode.turns)
            return
        if extension.closing:
            self._append(Writer.TEMPLATE, extension.closing)
        self._append(Writer.ENVIRONMENT, extension.ids, seconds=waited)
