"""The ScienceWorld environment, `agentrl/ScienceWorld-v0`."""

from __future__ import annotations

import hashlib
import re
import weakref
from collections.abc import Mapping
from typing import Any, ClassVar

from agentrl.envs.base import Info, Placement, Prompt, TextEnv
from agentrl.envs.scienceworld import pool
from agentrl.envs.scienceworld.expert import GoldPath
from agentrl.envs.scienceworld.java import check_simulator
from agentrl.envs.scienceworld.options import Options
from agentrl.envs.scienceworld.panels import scienceworld_panel, task_id
from agentrl.envs.scienceworld.prompts import PROMPTS
from agentrl.envs.scienceworld.simulator import Situation, World
from agentrl.envs.scienceworld.view import short_answer, short_view
from agentrl.errors import ConfigError, ReplayMismatch
from agentrl.types import TaskPanel

_AMBIGUOUS = "Ambiguous request"
_CHOICE = re.compile(r"^(\d+):\t", re.MULTILINE)
_UNLISTED = frozenset(("reset task",))
"""Accepted, but not listed: it takes back the progress towards the goal."""

LONGEST_ACTION = 1000
"""Characters; what is longer is sent as `_NONSENSE`, which gets the same answer at once."""

_NONSENSE = "?"


class ScienceWorldEnv(TextEnv):
    """A task of ScienceWorld (Wang et al., EMNLP 2022), played by the `scienceworld` package.

    `terminated` when the task is completed or failed, `truncated` after `max_steps` actions; what
    the simulator calls moves is time.  `info` also has `raw_score` (0 to 100, or -100 after a
    mistake such as focusing on a wrong object), `moves`, `look`, `inventory`,
    `ambiguous`, `action_templates` and `objects`.

    The constructor's arguments are defaults for `reset(options=...)`; both take the fields of
    `agentrl.envs.scienceworld.options.Options`.  Task, variation, simplifications and actions
    determine an episode; `reset(seed=...)` changes nothing.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 (declared so by gymnasium)
    prompt: ClassVar[Prompt] = PROMPTS["step"]
    prompts: ClassVar[Mapping[str, Prompt]] = PROMPTS
    placement: ClassVar[Placement] = Placement(
        memory_mib=280, start_seconds=2.5, call_timeout=120.0, warm_spares=1
    )

    def __init__(self, **defaults: Any) -> None:
        self._defaults = defaults
        self._options = Options.read(defaults)
        self._world: World | None = None
        self._give_back: weakref.finalize[..., Any] | None = None

    @classmethod
    def panel(cls, split: str, **options: Any) -> TaskPanel:
        """Return a task panel; see `agentrl.envs.scienceworld.panels.scienceworld_panel`."""
        return scienceworld_panel(split, **options)

    @classmethod
    def warm(cls) -> None:
        """Start Java in this process, so that the first episode need not wait for it."""
        pool.start()

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[str, Info]:
        """Start the task that the options describe."""
        super().reset(seed=seed)
        self._options = Options.read({**self._defaults, **(options or {})})
        check_simulator(self._options.simulator)
        world = self._loaded_world()
        self._task = world.task_description()
        self._templates = tuple(t for t in world.templates() if t not in _UNLISTED)
        self._actions: list[str] = []
        self._score, self._ended = 0.0, False
        self._situation = self._observe("look around")
        self._gold: GoldPath | None = None
        if self._options.expert:
            self._gold = GoldPath(world.gold_path(), _place(self._situation))
        return self._shown(self._situation), self._info(accepted=True)

    def step(self, action: str) -> tuple[str, float, bool, bool, Info]:
        """Send an action to the simulator, without the white space around it."""
        if self._world is None:
            raise ConfigError("`step` was called before `reset`.")
        action = action.strip()
        if len(action) > LONGEST_ACTION:
            action = _NONSENSE
        self._actions.append(action)
        situation = self._situation = self._observe(action)
        if self._gold is not None:
            self._gold.took(action, _place(situation))
        before, self._score = self._score, max(0, situation.score) / 100
        terminated = self._ended = self._has_ended()
        truncated = not terminated and len(self._actions) >= self._options.max_steps
        reward = self._score - before if self._options.reward == "score_delta" else 0.0
        if self._options.reward == "won" and self._won():
            reward = float(self._options.win_reward)
        accepted = _accepted(situation.text)
        return self._shown(situation), reward, terminated, truncated, self._info(accepted)

    def fork(self) -> ScienceWorldEnv:
        """Return an independent environment in the same state, by repeating the actions.

        Raises:
            ReplayMismatch: the repetition ended elsewhere.
        """
        if self._world is None:
            raise ConfigError("`fork` was called before `reset`.")
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin._world = twin._give_back = None
        twin._actions = list(self._actions)
        if self._gold is not None:
            twin._gold = self._gold.copy()
        world = twin._loaded_world(gold=False)
        text = twin._repeat(world)
        if text != self._situation.text:
            twin.close()
            raise ReplayMismatch(
                f"ScienceWorld answered {text[:200]!r} instead of "
                f"{self._situation.text[:200]!r} when {len(self._actions)} actions were repeated."
            )
        return twin

    def close(self) -> None:
        """Give the world back; its Java process stays for the next episode of this process."""
        if self._give_back is not None:
            self._give_back()
        self._world = self._give_back = None

    def gold_path(self) -> list[str]:
        """Return the simulator's solution from the start; needs the option `expert`."""
        if self._world is None or self._gold is None:
            raise ConfigError("`gold_path` needs a `reset` with the option `expert`.")
        return list(self._gold.actions)

    def goal_progress(self) -> str:
        """Return the simulator's table of sub-goals and which of them are met."""
        if self._world is None:
            raise ConfigError("`goal_progress` was called before `reset`.")
        return self._world.goal_progress()

    def _loaded_world(self, gold: bool | None = None) -> World:
        """Return a world in the initial state of the task."""
        options = self._options
        gold = options.expert if gold is None else gold
        heap_mib = pool.GOLD_HEAP_MIB if options.expert else pool.HEAP_MIB
        self.close()
        world = pool.lease(options.in_force, heap_mib)
        self._world = world
        self._give_back = weakref.finalize(self, pool.release, world)
        self._give_back.atexit = False
        world.load(options.science_task.name, options.variation, options.simplifications, gold)
        return world

    def _observe(self, action: str) -> Situation:
        assert self._world is not None
        return self._world.observe(action, objects=True, valid=self._options.admissible)

    def _repeat(self, world: World) -> str:
        """Repeat the episode's actions; listing valid actions is part of what happened."""
        text = ""
        for action in ("look around", *self._actions):
            text = world.act(action)
            if self._options.admissible:
                world.valid_actions()
        return text

    def _has_ended(self) -> bool:
        limit = self._options.native_step_limit
        situation = self._situation
        late = limit is not None and situation.moves > limit
        return situation.completed or situation.score < 0 or late

    def _won(self) -> bool:
        if self._options.win == "positive_score":
            return self._ended and self._situation.score > 0
        return self._situation.completed and self._situation.score == 100

    def _shown(self, situation: Situation) -> str:
        if self._options.observation == "full":
            return situation.text
        answer = short_answer(situation.text)
        view = short_view(situation.look, situation.inventory)
        return f"{answer} {view}" if answer else view

    def _info(self, accepted: bool) -> Info:
        situation, task = self._situation, self._options.science_task
        choices = _choices(situation.text)
        info: Info = {
            "task": self._task,
            "admissible_actions": choices or self._listed(situation.valid),
            "won": self._won(),
            "score": self._score,
            "raw_score": situation.score,
            "action_valid": accepted,
            "step": len(self._actions),
            "task_id": task_id(task, self._options.variation),
            "split": "",
            "task_type": task.name,
            "anchor": _anchor(situation),
            "final_answer": None,
            "moves": situation.moves,
            "look": situation.look,
            "inventory": situation.inventory,
            "ambiguous": bool(choices),
            "action_templates": list(self._templates),
            "objects": list(situation.objects),
        }
        if self._options.expert:
            over = self._ended or self._gold is None
            info["expert_action"] = None if over or self._gold is None else self._gold.next_action
        return info

    @staticmethod
    def _listed(valid: tuple[str, ...] | None) -> list[str] | None:
        return None if valid is None else [action for action in valid if action not in _UNLISTED]


def _accepted(text: str) -> bool:
    return text != "No known action matches that input." and not text.startswith("Unknown action.")


def _choices(text: str) -> list[str]:
    """Return the numbers that answer an ambiguous request, sorted as text; empty otherwise."""
    return sorted(set(_CHOICE.findall(text))) if text.startswith(_AMBIGUOUS) else []


def _anchor(situation: Situation) -> str:
    """Return a digest of what is known of the state: what can be seen, and the score."""
    return _digest(_place(situation), str(situation.score), *_choices(situation.text))


def _place(situation: Situation) -> str:
    """Return a digest of what can be seen: the room and what is carried."""
    return _digest(situation.look, situation.inventory)


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=12).hexdigest()
