"""A hand-coded expert that sees the whole state and wins from wherever it is asked.

It knows where everything lies, so it shows what to do and not how to search.  Each call decides
from the state alone: what was done before, by whomever, does not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from agentrl.envs.alfworld.aim import PROPERTIES, Aim
from agentrl.envs.alfworld.engine import CompactGame, State

Fact = tuple[str, tuple[str, ...]]


class Expert:
    """Advises on one game.

    Args:
        game: the game.
        aim: what it asks for.
    """

    def __init__(self, game: CompactGame, aim: Aim) -> None:
        self._game, self._aim = game, aim

    def advise(self, state: State, commands: Mapping[str, int]) -> str | None:
        """Return a command that brings the game closer to being won; None if there is none.

        Args:
            state: the state to leave.
            commands: its admissible commands, as `CompactGame.commands` gives them.
        """
        view = _View(self, self._game.facts_of(state))
        wish = view.look_under_lamp() if self._aim.lamp_type else view.put_in_place()
        return None if wish is None else self._command(wish, commands)

    @cached_property
    def takes(self) -> dict[str, set[str]]:
        """For each object the receptacles from which it can be taken."""
        return self._pairs("pickupobject", 2, 3)

    @cached_property
    def puts(self) -> dict[str, set[str]]:
        """For each object the receptacles that can hold it."""
        return self._pairs("putobject", 2, 3)

    @cached_property
    def uses(self) -> dict[str, set[str]]:
        """For each lamp the receptacles at which it can be switched on."""
        return self._pairs("toggleobject", 2, 3)

    @cached_property
    def treats(self) -> dict[str, set[str]]:
        """For each object the appliances that give it the wanted property."""
        return self._pairs(PROPERTIES[self._aim.wanted], 3, 2) if self._aim.wanted else {}

    @property
    def aim(self) -> Aim:
        """What the game asks for."""
        return self._aim

    def _pairs(self, action: str, first: int, second: int) -> dict[str, set[str]]:
        pairs: dict[str, set[str]] = {}
        for objects in self._game.grounded(action):
            pairs.setdefault(objects[first], set()).add(objects[second])
        return pairs

    def _command(self, wish: Fact, commands: Mapping[str, int]) -> str | None:
        """Return the admissible command of an action on the given objects."""
        action, objects = wish
        for command, number in commands.items():
            operator = self._game.operator(number)
            if operator.action == action and set(objects) <= set(operator.objects):
                return command
        return None


class _View:
    """One state, as the expert sees it.  Wishes are `(action, objects)`."""

    def __init__(self, expert: Expert, facts: set[Fact]) -> None:
        self._expert, self._facts = expert, facts
        self._place = {o[0]: o[1] for name, o in facts if name == "receptacleatlocation"}
        self._within = {o[0]: o[1] for name, o in facts if name == "inreceptacle"}
        self._here = next((o[1] for name, o in facts if name == "atlocation"), "")
        self._held = next((o[1] for name, o in facts if name == "holds"), None)

    def put_in_place(self) -> Fact | None:
        """Carry objects of the wanted type, treated if need be, to one receptacle."""
        aim, held = self._expert.aim, self._held
        goal = self._goal_receptacle()
        if goal is None:
            return None
        if held is None:
            todo = [o for o in self._candidates(goal) if not self._is_done(o, goal)]
            return self._take(min(todo, key=self._effort)) if todo else None
        if held not in self._candidates(goal):
            return self._put_away()
        if aim.wanted and not self._has(aim.wanted, held):
            appliance = self._nearest(self._expert.treats[held])
            return self._at(appliance) or (PROPERTIES[aim.wanted], (held, appliance))
        return self._open(goal) or ("putobject", (held, goal))

    def look_under_lamp(self) -> Fact | None:
        """Hold the object where a lamp is that was switched on."""
        lamps = self._of_type(self._expert.aim.lamp_type)
        lit = [o for o in lamps if self._has("istoggled", o) and o in self._within]
        lamps = lit or [o for o in lamps if self._within.get(o) in self._expert.uses.get(o, ())]
        wanted = self._of_type(self._expert.aim.object_type)
        if self._held is not None and self._held not in wanted:
            return self._put_away()
        if self._held is None:
            todo = [o for o in wanted if self._within.get(o) in self._expert.takes.get(o, ())]
            return self._take(min(todo, key=self._effort)) if todo else None
        if not lamps:
            return None
        lamp = min(lamps, key=self._effort)
        return self._at(self._within[lamp]) or ("toggleobject", (lamp, self._within[lamp]))

    def _goal_receptacle(self) -> str | None:
        """Return the receptacle to fill: the one that holds most, then the easiest to use."""
        wanted = self._of_type(self._expert.aim.object_type)
        usable = {r for o in wanted for r in self._expert.puts.get(o, ())}
        options = [r for r in self._of_type(self._expert.aim.receptacle_type) if r in usable]
        return min(
            options,
            key=lambda r: (-sum(self._is_done(o, r) for o in wanted), self._closed(r), r),
            default=None,
        )

    def _candidates(self, goal: str) -> list[str]:
        """Return the objects that can be brought to `goal` with the wanted property."""
        expert = self._expert
        return [
            o
            for o in self._of_type(expert.aim.object_type)
            if goal in expert.puts.get(o, ())
            and (o == self._held or self._within.get(o) in expert.takes.get(o, ()))
            and (not expert.aim.wanted or o in expert.treats)
        ]

    def _is_done(self, item: str, goal: str) -> bool:
        wanted = self._expert.aim.wanted
        return self._within.get(item) == goal and (not wanted or self._has(wanted, item))

    def _take(self, item: str) -> Fact:
        return self._open(self._within[item]) or ("pickupobject", (item, self._within[item]))

    def _put_away(self) -> Fact | None:
        """Put down what is in the way, here if possible."""
        assert self._held is not None
        places = self._expert.puts.get(self._held)
        if not places:
            return None
        place = self._nearest(places)
        return self._open(place) or ("putobject", (self._held, place))

    def _open(self, receptacle: str) -> Fact | None:
        """Return the next step to stand before a receptacle that is open."""
        if going := self._at(receptacle):
            return going
        return ("openobject", (receptacle,)) if self._closed(receptacle) else None

    def _at(self, receptacle: str) -> Fact | None:
        if self._place.get(receptacle) == self._here:
            return None
        return "gotolocation", (receptacle,)

    def _nearest(self, receptacles: Iterable[str]) -> str:
        return min(receptacles, key=self._distance)

    def _distance(self, receptacle: str) -> tuple[bool, bool, str]:
        return self._place.get(receptacle) != self._here, self._closed(receptacle), receptacle

    def _effort(self, item: str) -> tuple[bool, tuple[bool, bool, str], str]:
        wanted = self._expert.aim.wanted
        return (
            bool(wanted) and not self._has(wanted, item),
            self._distance(self._within[item]),
            item,
        )

    def _closed(self, receptacle: str) -> bool:
        return self._has("openable", receptacle) and not self._has("opened", receptacle)

    def _has(self, predicate: str, item: str) -> bool:
        return (predicate, (item,)) in self._facts

    def _of_type(self, kind: str) -> list[str]:
        return sorted(self._typed(kind))

    def _typed(self, kind: str) -> Iterator[str]:
        for name, objects in self._facts:
            if name in ("objecttype", "receptacletype") and objects[1] == kind:
                yield objects[0]
