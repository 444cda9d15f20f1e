"""The set of prompts that an environment offers, and their names with versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeGuard

from agentrl.envs.base import Prompt, StepPrompt, TextEnv
from agentrl.envs.prompts.chat import ChatProfile
from agentrl.envs.prompts.plain import PlainPrompt
from agentrl.envs.prompts.projection import LENIENT, STRICT
from agentrl.envs.prompts.projection import verl_agent as verl_agent_projection
from agentrl.envs.prompts.showing import ADMISSIBLE, ListActions, Show, as_it_is
from agentrl.envs.prompts.step import StepProfile
from agentrl.errors import unknown_name


def profiles(
    *,
    blurb: str,
    show: Show = as_it_is,
    actions: ListActions = ADMISSIBLE,
    guide: str = "",
    history: int = 2,
    all_actions: bool = False,
    goal_in_first: bool = False,
    max_characters: int | None = None,
    lower: bool = False,
    tail: int = 30,
    only_admissible: bool = True,
    revision: int = 0,
    verl_agent: StepProfile | None = None,
) -> dict[str, Prompt]:
    """Return an environment's prompts by name.

    `step`, `step-strict`, `chat`, `chat-strict`, `plain`, `plain-actions` (lists the admissible
    actions) and, if given, `verl-agent`.

    Args:
        blurb: where the agent acts, to complete "You control an agent in ...".
        show: how observations are written.
        actions: how the possible actions are written in `step` and `chat`.
        guide: what the actions mean, if that has to be said.
        history: of `step`, see `StepProfile`.
        all_actions: of `step`, see `StepProfile`.
        goal_in_first: of `step`, see `StepProfile`.
        max_characters: of `step`, see `StepProfile`.
        lower: actions are sent in lower case.
        tail: characters sent where the tag is missing, in the lenient forms.
        only_admissible: of `plain`, see `PlainPrompt`.
        revision: raise it whenever one of these arguments changes the text.
        verl_agent: the compatibility profile, see `verl_agent_profile`.
    """
    lenient = replace(LENIENT, tail=tail, lower=lower)
    strict = replace(STRICT, lower=lower)
    step = StepProfile(
        blurb=blurb,
        history=history,
        all_actions=all_actions,
        goal_in_first=goal_in_first,
        max_characters=max_characters,
        guide=guide,
        show=show,
        actions=actions,
        projection=lenient,
        revision=revision,
    )
    chat = ChatProfile(
        blurb=blurb, guide=guide, show=show, actions=actions, projection=lenient, revision=revision
    )
    plain = PlainPrompt(only_admissible=only_admissible, revision=revision)
    prompts: dict[str, Prompt] = {
        "step": step,
        "step-strict": replace(step, projection=strict),
        "chat": chat,
        "chat-strict": replace(chat, projection=strict),
        "plain": plain,
        "plain-actions": replace(plain, show_actions=True),
    }
    return prompts | ({"verl-agent": verl_agent} if verl_agent is not None else {})


def verl_agent_profile(
    *,
    blurb: str,
    tail: int,
    lower: bool,
    actions: ListActions,
    show: Show = as_it_is,
    guide: str = "",
    goal_in_first: bool = False,
    all_actions: bool = False,
    max_characters: int | None = None,
    revision: int = 0,
) -> StepProfile:
    """Return the profile `verl-agent`: what its prompts hold and how it reads answers.

    History 2, the projection of langfengQ/verl-agent to the letter, no stop string (text after the
    action is sampled, and a Chinese character in it makes the answer invalid).  Reward, penalty and
    step limit are settings of a run: see `configs/*_verl_agent.yaml`.

    Args:
        blurb: where the agent acts.
        tail: characters sent where the tag is missing: 30 in ALFWorld, 20 in the others.
        lower: the answer is lower-cased: in ALFWorld and WebShop.
        actions: how the possible actions are written.
        show: how observations are written.
        guide: text before the actions.
        goal_in_first: the first message has no goal line (ALFWorld).
        all_actions: older steps are shown with their action, and lines begin with `Step k`
            (ScienceWorld in WujiangXu/EPO).
        max_characters: beyond it there is no history (WebShop: 13000).
        revision: raise it whenever one of these arguments changes the text.
    """
    return StepProfile(
        blurb=blurb,
        history=2,
        all_actions=all_actions,
        step_labels=all_actions,
        goal_in_first=goal_in_first,
        max_characters=max_characters,
        guide=guide,
        show=show,
        actions=actions,
        projection=verl_agent_projection(tail=tail, lower=lower),
        stop_strings=(),
        revision=revision,
    )


def is_step_prompt(prompt: Prompt) -> TypeGuard[StepPrompt]:
    """Return True if the prompt writes one message per turn."""
    return callable(getattr(prompt, "message", None))


def written_answer(prompt: Prompt, action: str) -> str:
    """Return the text of a model turn that takes `action`, in the form the prompt asks for.

    A prompt says so by a method `answer(action)`; without it, it is the bare action.
    """
    answer = getattr(prompt, "answer", None)
    return str(answer(action)) if callable(answer) else action


def choose(env_class: type[TextEnv], name: str | None) -> Prompt:
    """Return one of an environment's prompts by name; None for its default.

    Raises:
        UnknownNameError: there is no such prompt.
    """
    variants = _variants(env_class)
    if name is None:
        return env_class.prompt
    if name not in variants:
        raise unknown_name("`environment.prompt`", name, variants)
    return variants[name]


def prompt_id(env_class: type[TextEnv], name: str | None = None) -> str:
    """Return `name@version` of a prompt, to be kept with scores, for example `step@1`.

    A default prompt goes by its name in `prompts`, or by its class; a prompt that says no version
    has version 0.

    Raises:
        UnknownNameError: there is no such prompt.
    """
    prompt = choose(env_class, name)
    if name is None:
        same = (key for key, value in _variants(env_class).items() if value is prompt)
        name = next(same, type(prompt).__name__)
    return f"{name}@{int(getattr(prompt, 'version', 0))}"


def _variants(env_class: type[TextEnv]) -> Mapping[str, Prompt]:
    return getattr(env_class, "prompts", {})  # classes that do not derive from TextEnv
