"""One episode: a coroutine that plays a task and grows its tree."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from agentrl.engines.base import Completion
from agentrl.envs.base import Info, ParsedAction, PastStep, Prompt, episode_metrics
from agentrl.envs.prompts import is_step_prompt
from agentrl.errors import AgentRLError, ContextOverflow, EngineError, EnvironmentFailure
from agentrl.rollout.moment import Moment, Origin, Trace
from agentrl.rollout.policy import EpisodeKey, Policy
from agentrl.rollout.prompting import Prompting
from agentrl.rollout.transcript import Transcript
from agentrl.rollout.workers import EnvHandle, EnvPool, EnvState
from agentrl.tokens import ContextMode, Conversation, Renderer
from agentrl.tree import Episode, Node, StopReason, Tree
from agentrl.types import Shown

NOTHING_DONE = "Your last answer could not be carried out: {reason}."
"""Leads the repeated observation where an answer held no action."""
NOTHING_SAMPLED = Completion(ids=[], logprobs=[], entropies=[], stop="length", versions=[])
"""Of a turn whose prompt left no room."""


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


TurnDone = Callable[[int, Completion, StopReason | None], None]
"""Told of each finished turn: its number, what was sampled, why the episode is over, if it is."""


async def play(
    tree: Tree,
    episode: Episode,
    settings: EpisodeSettings,
    pool: EnvPool,
    policy: Policy,
    *,
    trace: Trace | None = None,
    origin: Origin | None = None,
    on_turn: TurnDone | None = None,
) -> None:
    """Play one episode of `tree.task`; every outcome is recorded in `episode`.

    Failures of the environment, of its prompt or of the engine end this episode with a typed
    reason; they are never raised, so that siblings go on.  Cancellation is recorded and passed on.

    Args:
        tree: what the episode is a leaf of; it grows.
        episode: the leaf.
        settings: what all episodes have in common.
        pool: environments.
        policy: chooses the actions.
        trace: notes what branches of this episode need; None notes nothing.
        origin: where it begins, unless at the prompt.
        on_turn: told of each finished turn.

    Raises:
        ContextOverflow: the first prompt does not fit the context: no episode of the task can run.
    """
    started = time.perf_counter()
    try:
        async with pool.lease(state=_state(origin)) as handle:
            player = Player(tree, episode, settings, handle, policy, trace)
            await player.run(origin or Origin(), on_turn)
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
        if trace is not None:
            trace.handle = None


def _state(origin: Origin | None) -> EnvState | None:
    """Return the environment's state that a branch goes on from."""
    if origin is None or origin.trace is None:
        return None
    return origin.trace.state(origin.trace.moments[origin.turn])


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


class Player:
    """The state of one running episode."""

    def __init__(
        self,
        tree: Tree,
        episode: Episode,
        settings: EpisodeSettings,
        handle: EnvHandle,
        policy: Policy,
        trace: Trace | None,
    ) -> None:
        self.episode = episode
        self.settings = settings
        self.handle = handle
        self.policy = policy
        self.trace = trace
        self.key = EpisodeKey(tree.id, episode.id)
        tools = getattr(settings.prompt, "tools", None)
        conversation = Conversation(settings.renderer, settings.context, tools)
        self.transcript = Transcript(tree, episode, conversation)
        self.observation = ""
        self.info: Info = {}
        self.past: list[PastStep] = []
        if trace is not None:
            trace.past, trace.handle = self.past, handle

    async def run(self, origin: Origin, on_turn: TurnDone | None) -> None:
        """Play until a typed stop."""
        stop: StopReason | None = None
        if origin.trace is None:
            stop = await self._begin(origin)
        else:
            self._continue(origin.trace, origin.turn, origin.token)
            if not origin.trained:
                spans = self.transcript.tree.model_nodes(self.episode)
                self.episode.given = [span.id for span in spans]
        while stop is None:
            turn = self.episode.turns
            completion, stop = await self._turn()
            if on_turn is not None:
                on_turn(turn, completion, stop)
        self.episode.stop = stop
        self.episode.metrics = episode_metrics(self.info)
        self.episode.answer = self.info.get("final_answer")

    async def _begin(self, origin: Origin) -> StopReason | None:
        """Reset the environment, and act out the given answers; return why it is over, if it is."""
        tree, settings = self.transcript.tree, self.settings
        self.observation, self.info = await self.handle.reset(tree.task)
        if self.info.get("task"):
            tree.info["task"] = self.info["task"]
        with _prompt_failures(settings.prompt):
            system = settings.prompt.system(self.info)
        if settings.prompting is not None:
            system = settings.prompting.system(system, tree.task, self.info)
        self.transcript.begin(system, self._message())
        for ids in origin.given[: origin.turn]:
            self._remember()
            stop = await self._answer(self.transcript.given(ids), list(ids))
            if stop is not None:
                return stop
        if origin.token:
            self._remember()
            begun = self.transcript.given(origin.given[origin.turn][: origin.token])
            self.transcript.shared = list(begun.ids)
        return None

    def _continue(self, trace: Trace, turn: int, token: int) -> None:
        """Take over an episode as it was at the start of a turn, or inside its answer."""
        moment, transcript = trace.moments[turn], self.transcript
        if self.trace is not None:
            self.trace.moments += trace.moments[:turn]
            self.trace.ends += trace.ends[:turn]
        self.past += trace.past[: moment.actions]
        self.observation, self.info = moment.observation, moment.info
        self.episode.reward, self.episode.turns = moment.reward, turn
        transcript.conversation = moment.conversation.fork()
        transcript.continue_from(moment.node, moment.sequences)
        self._remember()
        if token:
            before = len(transcript.ids)
            inside = transcript.tree.split_turn(trace.ends[turn], token)
            transcript.continue_from(inside, moment.sequences)
            transcript.shared = transcript.ids[before:]

    def _remember(self) -> None:
        """Note the start of a turn for branches."""
        if self.trace is None or len(self.trace.moments) > self.episode.turns:
            return
        self.trace.moments.append(
            Moment(
                node=self.transcript.node.id,
                sequences=tuple(self.episode.sequences),
                conversation=self.transcript.conversation.fork(),
                observation=self.observation,
                info=self.info,
                reward=self.episode.reward,
                actions=len(self.past),
                env_seconds=self.handle.seconds,
            )
        )

    async def _turn(self) -> tuple[Completion, StopReason | None]:
        """Sample, act, observe; return what was sampled, and the stop reason, if any."""
        settings, transcript = self.settings, self.transcript
        self._remember()
        room = self._room()
        if room < 1:
            return NOTHING_SAMPLED, self._out_of_context()
        completion = await self.policy.act(
            transcript.ids,
            key=self.key,
            turn=self.episode.turns,
            room=min(settings.max_tokens_per_turn, room),
            info=self.info,
        )
        node = transcript.sampled(completion)
        if completion.stop == "length" and room < settings.max_tokens_per_turn:
            self._ended_turn(node)
            return completion, StopReason.TRUNCATED_TOKENS  # half an action is not sent
        return completion, await self._answer(node, [*transcript.shared, *completion.ids])

    async def _answer(self, node: Node, ids: list[int]) -> StopReason | None:
        """Act on an answer whose last span is `node`, and show what comes of it."""
        self._ended_turn(node)
        text = self.settings.renderer.parse(ids).text
        with _prompt_failures(self.settings.prompt):
            parsed = self.settings.prompt.parse(text, self.info)
        started = time.perf_counter()
        stop = await self._act(node, text, parsed)
        waited = time.perf_counter() - started
        if stop is None:
            self.transcript.observed(ids, self._message(parsed), waited)
            if self._room() < 1:  # said now, so that no branch begins where nothing can follow
                stop = StopReason.TRUNCATED_TOKENS
        return stop

    def _room(self) -> int:
        """Return how many tokens the context can still take."""
        return self.settings.max_context - len(self.transcript.ids)

    def _ended_turn(self, node: Node) -> None:
        if self.trace is not None:
            self.trace.ends.append(node.id)

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

    def _message(self, parsed: ParsedAction | None = None) -> Shown:
        """Return what shows the current observation, after `parsed` if it is repeated."""
        prompt = self.settings.prompt
        with _prompt_failures(prompt):
            message: Shown
            if is_step_prompt(prompt):
                message = prompt.message(self.observation, self.info, self.past)
            else:
                message = prompt.observe(self.observation, self.info)
        if parsed is None or parsed.action is not None or not isinstance(message, str):
            return message
        return f"{NOTHING_DONE.format(reason=parsed.reason or 'it names no action')}\n{message}"

    def _out_of_context(self) -> StopReason:
        transcript = self.transcript
        if self.episode.turns == 0 and not transcript.shared:
            raise ContextOverflow(
                f"The first prompt of task {transcript.tree.task.id!r} has {len(transcript.ids)} "
                f"tokens, but the context holds {self.settings.max_context}. Use a model with a "
                "longer context (`model.max_context`), or a shorter prompt."
            )
        return StopReason.TRUNCATED_TOKENS

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
