"""Checks of the class: import, attributes, first episode, gymnasium's interface, prompts."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Mapping
from typing import Any, cast

import gymnasium
from gymnasium.utils.env_checker import check_env

from agentrl.envs import registry
from agentrl.envs.base import ParsedAction, PastStep, Placement, Prompt
from agentrl.envs.conformance.episode import Episode, Turn, candidates
from agentrl.envs.conformance.fuzz import odd_texts
from agentrl.envs.conformance.results import Violation
from agentrl.envs.conformance.subject import Subject
from agentrl.types import Task, shown_text

_MARK = "Qzx marker sentence."
_IMPORT = """
import json, sys, time
sys.path[:] = json.loads(sys.argv[1])
import agentrl.envs
before, start = set(sys.modules), time.process_time()
__import__(sys.argv[2])
seconds = time.process_time() - start
new = {name.partition(".")[0] for name in set(sys.modules) - before}
new = sorted(new - set(sys.stdlib_module_names))
print(json.dumps({"seconds": seconds, "torch": "torch" in sys.modules, "new": new}))
"""


def import_cost(subject: Subject) -> str:
    """The module imports quickly, and without torch."""
    module = subject.env_class.__module__
    if module == "__main__":
        raise Violation(
            "The class is defined in the main script, where worker processes cannot import it.",
            "move it to a module of its own",
        )
    call = f"`import {module}` in a fresh process"
    limit = subject.limits.import_seconds
    advice = f"a fresh Python imports {module} without help from other modules"
    with subject.calling(call, advice):
        done = subprocess.run(
            [sys.executable, "-c", _IMPORT, json.dumps(sys.path), module],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=subject.limits.call_seconds,
            check=False,
        )
    if done.returncode:
        raise Violation(f"{call} failed: {_last_line(done.stderr)}", advice)
    found = json.loads(done.stdout.splitlines()[-1])
    advice = "import heavy packages inside functions, or in modules named in `preload`"
    if found["torch"]:
        raise Violation(f"{call} imports torch, which environments must not.", advice)
    if found["seconds"] > limit:
        raise Violation(
            f"{call} takes {found['seconds']:.1f} s of CPU; at most {limit:g} s are accepted. It "
            f"imports {', '.join(found['new'])}.",
            advice,
        )
    return f"{found['seconds']:.2f} s, no torch"


def class_attributes(subject: Subject) -> str:
    """The class names `prompt` and `panel`, and its other attributes have the right types."""
    cls = subject.env_class
    if not callable(getattr(cls, "panel", None)):
        raise Violation("The class has no `panel`.", "define the classmethod `panel(split)`")
    prompts = _prompts(subject)
    for name, prompt in prompts.items():
        for member in ("system", "observe", "parse"):
            if not callable(getattr(prompt, member, None)):
                raise Violation(
                    f"Prompt {name!r} has no method `{member}`.",
                    "implement agentrl.envs.Prompt, or use one of agentrl.envs.prompts",
                )
    preload = getattr(cls, "preload", ())
    if not isinstance(preload, tuple) or not all(isinstance(name, str) for name in preload):
        raise Violation(f"`preload` is {preload!r}.", "give a tuple of module names")
    placement = getattr(cls, "placement", Placement())
    if not isinstance(placement, Placement):
        raise Violation(f"`placement` is {placement!r}.", "give an agentrl.envs.Placement")
    return f"prompts: {', '.join(prompts)}"


def start(subject: Subject) -> str:
    """The first task of the panel can be started."""
    episode = Episode(subject, subject.tasks[0])
    episode.close()
    return f"task {subject.tasks[0].id}"


def gymnasium_interface(subject: Subject) -> str:
    """Gymnasium's own checker accepts the environment."""
    env = registry.make(subject.tasks[0].env_id)
    for name in ("observation_space", "action_space"):
        space = getattr(env, name, None)
        if not isinstance(space, gymnasium.Space) or not space.contains("Ein Apfel für 你, 🙂\n"):
            raise Violation(
                f"`{name}` is {space!r}, which does not contain every string.",
                "derive the class from TextEnv, or use agentrl.envs.TextSpace()",
            )
    try:
        env.reset(seed=123)
    except Exception:  # it needs a task's options
        env = _WithTask(env, subject.tasks[0])
    advice = "see gymnasium.utils.env_checker; `reset` begins with `super().reset(seed=seed)`"
    with subject.calling("gymnasium's check_env", advice), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_env(env, skip_render_check=True)
    env.close()
    return "check_env"


def prompts(subject: Subject) -> str:
    """Every prompt shows the observation, and reads any text without raising."""
    found = _prompts(subject)
    episode = Episode(subject, subject.tasks[0])
    first = episode.last
    if not episode.over:
        episode.step(candidates(first, first.info["task"])[0])
    for name, prompt in found.items():
        advice = f"see agentrl.envs.Prompt; prompt {name!r}"
        with subject.calling(f"prompt {name!r}", advice):
            _system(name, prompt, first)
            _shown(name, prompt, first, [])
            past = [PastStep(first.observation, candidates(first, first.info["task"])[0])]
            _shown(name, prompt, episode.last, past)
            _parsed(name, prompt, first)
    episode.close()
    return f"{len(found)} x {len(odd_texts([]))} texts"


def _prompts(subject: Subject) -> dict[str, Prompt]:
    cls: Any = subject.env_class
    if not hasattr(cls, "prompt"):
        raise Violation(
            "The class has no `prompt`.",
            "set `prompt`, for example to agentrl.envs.textworld.CompactPrompt()",
        )
    variants = getattr(cls, "prompts", {})
    if not isinstance(variants, Mapping):
        raise Violation(f"`prompts` is {variants!r}.", "give a dict from names to prompts")
    return {"(default)": cls.prompt, **variants}


def _system(name: str, prompt: Prompt, turn: Turn) -> None:
    stops = prompt.stop_strings
    if not isinstance(stops, tuple) or not all(isinstance(s, str) and s for s in stops):
        raise Violation(
            f"`stop_strings` of prompt {name!r} is {stops!r}.", "give a tuple of non-empty strings"
        )
    system = prompt.system(dict(turn.info))
    if not isinstance(system, str | None):
        raise Violation(
            f"`system` of prompt {name!r} returned {type(system).__name__}.",
            "return a str, or None for no system message",
        )


def _shown(name: str, prompt: Prompt, turn: Turn, past: list[PastStep]) -> None:
    """Whatever is shortened, a sentence at the start or end of the observation must be shown."""

    def show(observation: str) -> str:
        if hasattr(prompt, "message"):
            return cast(str, prompt.message(observation, dict(turn.info), past))
        return shown_text(prompt.observe(observation, dict(turn.info)))

    texts = [show(turn.observation)]
    marked = (f"{_MARK}\n{turn.observation}", f"{turn.observation}\n{_MARK}")
    if all(isinstance(text, str) for text in texts):
        if turn.observation in texts[0] or any(_MARK in show(text) for text in marked):
            return
        problem = f"Prompt {name!r} does not show the observation."
    else:
        problem = f"Prompt {name!r} showed {texts[0]!r} for an observation; a str is expected."
    raise Violation(problem, "`observe` (or `message`) returns a text with the observation in it")


def _parsed(name: str, prompt: Prompt, turn: Turn) -> None:
    advice = "`parse` reads any text and returns a ParsedAction; it never raises"
    for text in odd_texts(candidates(turn, turn.info["task"])):
        try:
            parsed = prompt.parse(text, dict(turn.info))
        except Exception as error:
            raise Violation(
                f"`parse({text[:80]!r})` of prompt {name!r} raised {type(error).__name__}: {error}",
                advice,
            ) from error
        if not isinstance(parsed, ParsedAction) or not _is_action(parsed):
            raise Violation(
                f"`parse({text[:80]!r})` of prompt {name!r} returned {parsed!r:.80}.", advice
            )
        if not text.strip() and parsed.valid:
            raise Violation(
                f"Prompt {name!r} takes an empty answer for a valid action.",
                "return `ParsedAction(text, False, reason)` where there is nothing to read",
            )


def _is_action(parsed: ParsedAction) -> bool:
    """An answer that is not valid may stand for no action at all, None."""
    return isinstance(parsed.action, str) or (parsed.action is None and not parsed.valid)


class _WithTask(gymnasium.Wrapper[str, str, str, str]):
    """An environment that cannot start without a task's options, with those as default."""

    def __init__(self, env: gymnasium.Env[str, str], task: Task) -> None:
        super().__init__(env)
        self._task = task

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[str, dict[str, Any]]:
        return self.env.reset(seed=seed, options={**self._task.options, **(options or {})})


def _last_line(text: str) -> str:
    return text.strip().splitlines()[-1] if text.strip() else "no message"
