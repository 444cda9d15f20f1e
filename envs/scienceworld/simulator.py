"""Worlds inside a Java process.

The simulator keeps three things per process that belong to one episode: the random generator, the
counter of object ids, and the list of simplifications.  A `World` is one episode with the first two
of its own; they are put in place whenever another world of the process was the last to be used.
Worlds that share a process have the same simplifications (see `pool`).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from agentrl.envs.scienceworld.gateway import (
    Argument,
    Command,
    Reference,
    Value,
    call,
    construct,
    forget,
)
from agentrl.envs.scienceworld.process import JavaProcess
from agentrl.errors import EnvironmentFailure

_PACKAGE = "scienceworld"
_OUT_OF_RESOURCES = ("java.lang.OutOfMemoryError", "java.lang.StackOverflowError")


@dataclass(frozen=True, slots=True)
class Situation:
    """What one action led to.

    Attributes:
        text: the answer to the action.
        score: 0 to 100, or -100 after a mistake that cannot be undone.
        completed: the simulator calls the task completed.
        moves: simulated time.
        look: description of the room.
        inventory: description of what is carried.
        objects: what `OBJ` can stand for, sorted; empty unless asked for.
        valid: all valid actions, sorted; None unless asked for.
    """

    text: str
    score: int
    completed: bool
    moves: int
    look: str
    inventory: str
    objects: tuple[str, ...] = ()
    valid: tuple[str, ...] | None = None


class Simulator:
    """A Java process and the worlds in it.

    Args:
        heap_mib: most heap of the process in MiB.
    """

    def __init__(self, heap_mib: int) -> None:
        self.process = JavaProcess(heap_mib)
        self.lock = threading.RLock()
        self.group = ""
        self.worlds: set[World] = set()
        self.spare: list[World] = []
        self.current: World | None = None
        try:
            self._find_statics()
        except BaseException:
            self.process.kill()
            raise

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process.alive

    def run_all(self, commands: Sequence[Command]) -> list[Value]:
        """Carry commands out; if the process does not answer any more, it is killed."""
        try:
            return self.process.gateway.run_all(commands)
        except EnvironmentFailure as error:
            if error.kind != "raised":
                self.process.kill()
            raise

    def reference(self, command: Command) -> Reference:
        """Carry out a command that returns an object."""
        (value,) = self.run_all([command])
        assert isinstance(value, Reference), value
        return value

    def use_generator(self, generator: Reference) -> Command:
        """Return the command that makes the simulator draw from a generator."""
        return call(self._generator_field, "set", self._random, generator)

    def use_count(self, count: int) -> Command:
        """Return the command that sets the counter of object ids."""
        return call(self._counter, "count_$eq", count)

    def count(self) -> int:
        """Return the counter of object ids."""
        (value,) = self.run_all([call(self._counter, "count")])
        assert isinstance(value, int)
        return value

    def park(self) -> None:
        """Put the state of the world that was used last away."""
        if self.current is not None:
            self.current._count = self.count()
            self.current = None
        self.run_all([self.use_generator(self.scratch)])

    def forget_routes(self) -> None:
        """Clear the cache of routes, which makes gold paths depend on those made before."""
        routes = self.reference(call(self._path_finder, "precomputedExhaustivePaths"))
        self.run_all([call(routes, "clear"), forget(routes)])

    def _find_statics(self) -> None:
        self._random = self._singleton("scala.util.Random")
        self._counter = self._singleton("util.UniqueIdentifier")
        self._path_finder = self._singleton(f"{_PACKAGE}.goldagent.PathFinder")
        self._generator_field = self._field("scala.util.Random", "self")
        self.run_all([call(self._generator_field, "setAccessible", True)])
        self.scratch = self.reference(construct("java.util.Random", 0))

    def _class(self, name: str) -> Reference:
        return self.reference(call("z:java.lang.Class", "forName", name))

    def _field(self, class_name: str, name: str) -> Reference:
        return self.reference(call(self._class(class_name), "getDeclaredField", name))

    def _singleton(self, name: str) -> Reference:
        field = self._field(f"{name}$", "MODULE$")
        return self.reference(call(field, "get", None))


class World:
    """One episode; made anew by `load`.

    Args:
        simulator: the process it lives in.
    """

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        simulator.park()  # making one draws random numbers and object ids
        self._interface = simulator.reference(
            construct(f"{_PACKAGE}.runtime.pythonapi.PythonInterface")
        )
        self._generator = simulator.reference(construct("java.util.Random", 0))
        self._count = 0

    def load(self, task: str, variation: int, simplifications: str, gold: bool) -> None:
        """Build the world of a task; what was here before is gone.

        Args:
            task: name of the task.
            variation: its number.
            simplifications: `easy`, or names joined by commas.
            gold: also find a sequence of actions that solves it.
        """
        with self.simulator.lock:
            self._enter()
            if gold:
                self.simulator.forget_routes()
            (problem,) = self._ask([("load", task, variation, simplifications, gold)])
            if problem:
                raise EnvironmentFailure(f"ScienceWorld cannot load {task} {variation}: {problem}")

    def act(self, action: str) -> str:
        """Carry an action out and return only the answer."""
        with self.simulator.lock:
            self._enter()
            (text,) = self._ask([("step", action)])
            return _sound(str(text))

    def observe(self, action: str, *, objects: bool = False, valid: bool = False) -> Situation:
        """Carry an action out and look at what is the case then.

        Args:
            action: what to do.
            objects: also list the objects; this draws from a generator of its own, so that it
                changes nothing.
            valid: also list all valid actions.  Like the package's `step` this draws from the
                generator of the world where objects have the same names.
        """
        with self.simulator.lock:
            self._enter()
            questions = [
                self._question("step", action),
                self._question("getScore"),
                self._question("getCompleted"),
                self._question("getNumMoves"),
                self._question("freeActionLook"),
                self._question("freeActionInventory"),
            ]
            if objects:
                questions += [
                    self.simulator.use_generator(self.simulator.scratch),
                    call(self.simulator.scratch, "setSeed", 0),
                    self._question("step", "objects"),
                    self.simulator.use_generator(self._generator),
                ]
            text, score, completed, moves, look, inventory, *more = self.simulator.run_all(
                questions
            )
            assert isinstance(score, float) and isinstance(moves, int)
            return Situation(
                text=_sound(str(text)),
                score=round(100 * score),
                completed=bool(completed),
                moves=moves,
                look=str(look),
                inventory=str(inventory),
                objects=_listed(str(more[2])) if objects else (),
                valid=self.valid_actions() if valid else None,
            )

    def valid_actions(self) -> tuple[str, ...]:
        """Return all valid actions, sorted, without duplicates."""
        with self.simulator.lock:
            self._enter()
            return tuple(sorted(set(self._strings("getValidActionObjectCombinations"))))

    def templates(self) -> tuple[str, ...]:
        """Return the forms that actions have, sorted; `OBJ` stands for an object."""
        with self.simulator.lock:
            self._enter()
            (text,) = self._ask([("step", "help")])
            return _listed(str(text))

    def task_description(self) -> str:
        """Return the goal."""
        with self.simulator.lock:
            self._enter()
            (text,) = self._ask([("getTaskDescription",)])
            return str(text)

    def goal_progress(self) -> str:
        """Return the simulator's table of sub-goals and which are met."""
        with self.simulator.lock:
            self._enter()
            (text,) = self._ask([("getGoalProgressStr",)])
            return str(text)

    def gold_path(self) -> tuple[str, ...]:
        """Return the actions that solve the task, if it was loaded with `gold`."""
        with self.simulator.lock:
            return tuple(self._strings("getGoldActionSequence"))

    def variations(self, split: str) -> list[int]:
        """Return the variations of the loaded task that the package counts to a split."""
        with self.simulator.lock:
            method = f"getVariations{split.capitalize()}"
            items = self.simulator.reference(self._question(method))
            (text,) = self.simulator.run_all([call(items, "toString")])
            self.simulator.run_all([forget(items)])
            return [int(number) for number in json.loads(str(text))]

    def _enter(self) -> None:
        """Put this world's generator and counter in place."""
        simulator = self.simulator
        previous = simulator.current
        if previous is self:
            return
        if previous is not None:
            previous._count = simulator.count()
        simulator.run_all(
            [simulator.use_generator(self._generator), simulator.use_count(self._count)]
        )
        simulator.current = self

    def _question(self, method: str, *arguments: Argument) -> Command:
        return call(self._interface, method, *arguments)

    def _ask(self, questions: Sequence[tuple[str, *tuple[Argument, ...]]]) -> list[Value]:
        return self.simulator.run_all([self._question(*question) for question in questions])

    def _strings(self, method: str) -> list[str]:
        """Return the result of a method that gives a list of strings."""
        items = self.simulator.reference(self._question(method))
        joined, _ = self.simulator.run_all(
            [call("z:java.lang.String", "join", "\n", items), forget(items)]
        )
        return str(joined).split("\n") if joined else []


def _listed(text: str) -> tuple[str, ...]:
    """Return the entries of `Possible ...: <newline><tab>entry ...`, sorted."""
    return tuple(sorted(set(text.split("\n\t")[1:])))


def _sound(text: str) -> str:
    """Pass an answer on unless it says that the process is at its limits."""
    if text.startswith(_OUT_OF_RESOURCES):
        raise EnvironmentFailure(f"ScienceWorld's Java has run out of memory: {text}", "died")
    return text
