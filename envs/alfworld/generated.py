"""Games in our own household, made from a seed; they need no data."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from agentrl.envs.alfworld.household import DOMAIN, GRAMMAR
from agentrl.envs.alfworld.layouts import PLACEHOLDER, TASK_TYPES, Game
from agentrl.envs.alfworld.names import readable_names

_ROOMS = {
    "kitchen": ("CounterTop", "DiningTable", "Cabinet", "Cabinet", "Drawer", "Shelf"),
    "bedroom": ("Bed", "Desk", "Drawer", "Drawer", "Shelf", "Dresser"),
}
_APPLIANCES = ("Sink", "Microwave", "Fridge")
_OPENABLE = {"Cabinet", "Drawer", "Microwave", "Fridge"}
_FITS = {
    "Apple": "CounterTop DiningTable Fridge Microwave Sink",
    "Potato": "CounterTop DiningTable Fridge Microwave Sink",
    "Egg": "CounterTop DiningTable Fridge Microwave Sink",
    "Mug": "CounterTop DiningTable Cabinet Shelf Desk Microwave Fridge Sink",
    "Plate": "CounterTop DiningTable Cabinet Shelf Microwave Sink",
    "Cloth": "CounterTop Drawer Dresser Cabinet Sink Desk",
    "Spoon": "CounterTop DiningTable Drawer Sink",
    "Book": "Bed Desk Shelf Drawer Dresser DiningTable",
    "Pen": "Desk Shelf Drawer Dresser DiningTable CounterTop",
    "Box": "Bed Desk Dresser DiningTable Shelf CounterTop",
    "Pillow": "Bed Dresser Shelf DiningTable",
    "CD": "Desk Shelf Drawer Dresser CounterTop",
}
_TREATMENTS = {
    "pick_clean_then_place_in_recep": ("clean", "Sink", "Apple Potato Egg Mug Plate Cloth Spoon"),
    "pick_heat_then_place_in_recep": ("heat", "Microwave", "Apple Potato Egg Mug Plate"),
    "pick_cool_then_place_in_recep": ("cool", "Fridge", "Apple Potato Egg Mug Plate"),
}
_TRAITS = {"cleanable": "clean", "heatable": "heat", "coolable": "cool"}
_PROPERTY = {"clean": "isClean", "heat": "isHot", "cool": "isCool"}
_ADJECTIVE = {"clean": "clean ", "heat": "hot ", "cool": "cool "}


@dataclass(slots=True)
class _World:
    """Receptacles and objects by id, and what lies where."""

    receptacles: dict[str, str] = field(default_factory=dict)
    objects: dict[str, str] = field(default_factory=dict)
    within: dict[str, str] = field(default_factory=dict)

    def add(self, kind: str, place: str) -> str:
        number = sum(k == kind for k in self.objects.values())
        name = f"{kind}_bar_{number}"
        self.objects[name], self.within[name] = kind, place
        return name

    def of(self, kind: str) -> list[str]:
        return [r for r, k in self.receptacles.items() if k == kind]

    def places(self, kind: str) -> list[str]:
        return [r for r, k in self.receptacles.items() if k in _FITS[kind].split()]


@dataclass(frozen=True, slots=True)
class _Plan:
    """A goal and how to reach it."""

    task: str
    goal: str
    steps: list[tuple[str, str, str]]
    """`(verb, object or "", receptacle)` by id."""


def generated_game(seed: int, task_type: str | None = None) -> Game:
    """Return the game of a seed; all that is drawn depends on it and the task type alone.

    Args:
        seed: any integer.
        task_type: one of the six; None draws one.
    """
    rng = random.Random(f"household {seed} {task_type}")
    kind = task_type or rng.choice(TASK_TYPES)
    while True:
        world = _world(rng)
        plan = _look(rng, world) if kind == "look_at_obj_in_light" else _place(rng, world, kind)
        if plan is not None:
            break
    names = readable_names(f"{o}".lower() for o in (*world.objects, *world.receptacles))
    content = {
        "pddl_domain": DOMAIN,
        "grammar": GRAMMAR.replace(PLACEHOLDER, plan.task),
        "pddl_problem": _problem(world, plan.goal),
        "walkthrough": _walkthrough(world, plan, names),
        "solvable": True,
    }
    return Game(f"{kind}-generated-{seed}", content)


def _world(rng: random.Random) -> _World:
    world = _World()
    kinds = [*rng.choice(list(_ROOMS.values())), *_APPLIANCES]
    rng.shuffle(kinds)
    for kind in kinds:
        number = len(world.of(kind))
        basin = "_bar_SinkBasin" if kind == "Sink" else ""
        world.receptacles[f"{kind}_bar_{number}{basin}"] = kind
    for kind in rng.sample(sorted(_FITS), 7):
        for _ in range(rng.randint(1, 2)):
            world.add(kind, rng.choice(world.places(kind) or world.of("Sink")))
    return world


def _place(rng: random.Random, world: _World, task_type: str) -> _Plan | None:
    """Draw what is to be put where; None if the world has nothing that suits."""
    verb, appliance, suited = _TREATMENTS.get(task_type, ("", "", " ".join(_FITS)))
    count = 2 if task_type == "pick_two_obj_and_place" else 1
    present = [k for k in suited.split() if list(world.objects.values()).count(k) >= count]
    if not present:
        return None
    kind = rng.choice(present)
    items = [o for o, k in world.objects.items() if k == kind]
    free = [
        r
        for r in world.places(kind)
        if all(world.receptacles[r] != world.receptacles[world.within[o]] for o in items)
        and world.receptacles[r] != appliance
    ]
    if not free:
        return None
    target = rng.choice(free)
    place = world.receptacles[target]
    steps = []
    for item in items[:count]:
        steps.append(("take", item, world.within[item]))
        if verb:
            steps.append((verb, item, world.of(appliance)[0]))
        steps.append(("move", item, target))
    amount = "two" if count == 2 else "a"
    adjective = _ADJECTIVE.get(verb, "")
    noun = f"{kind.lower()}s" if count == 2 else kind.lower()
    task = f"put {amount} {adjective}{noun} in {_type(place).removesuffix('Type').lower()}"
    return _Plan(task, _place_goal(kind, place, verb, count), steps)


def _place_goal(kind: str, place: str, verb: str, count: int) -> str:
    wanted = ["?first", "?second"][:count]
    terms = [f"(receptacleType ?r {_type(place)})"]
    for name in wanted:
        terms += [f"(objectType {name} {kind}Type)", f"(inReceptacle {name} ?r)"]
        terms += [f"({_PROPERTY[verb]} {name})"] if verb else []
    terms += ["(not (= ?first ?second))"] if count == 2 else []
    return f"(exists (?r - receptacle {' '.join(wanted)} - object) (and {' '.join(terms)}))"


def _look(rng: random.Random, world: _World) -> _Plan | None:
    """Draw what is to be looked at, and add the lamp."""
    stands = [r for r, k in world.receptacles.items() if k in ("Desk", "Dresser", "DiningTable")]
    kinds = sorted(set(world.objects.values()) & {"Book", "Pen", "CD", "Box", "Mug", "Cloth"})
    if not stands or not kinds:
        return None
    stand, kind = rng.choice(stands), rng.choice(kinds)
    lamp = world.add("DeskLamp", stand)
    item = next(o for o, k in world.objects.items() if k == kind)
    goal = (
        "(exists (?a - agent ?l - location ?r - receptacle ?lamp - object ?o - object) (and "
        "(objectType ?lamp DeskLampType) (isToggled ?lamp) (inReceptacle ?lamp ?r) "
        "(receptacleAtLocation ?r ?l) (atLocation ?a ?l) "
        f"(objectType ?o {kind}Type) (holds ?a ?o)))"
    )
    steps = [("take", item, world.within[item]), ("use", lamp, stand)]
    return _Plan(f"look at {kind.lower()} under the desklamp", goal, steps)


def _type(receptacle: str) -> str:
    return "SinkBasinType" if receptacle == "Sink" else f"{receptacle}Type"


def _problem(world: _World, goal: str) -> str:
    kinds = sorted(set(world.objects.values()))
    places = sorted(set(world.receptacles.values()))
    spots = {name: f"loc_bar_{number}" for number, name in enumerate(world.receptacles, 1)}
    facts = ["(atLocation agent1 loc_bar_0)"]
    for name, kind in world.receptacles.items():
        facts += [f"(receptacleAtLocation {name} {spots[name]})"]
        facts += [f"(receptacleType {name} {_type(kind)})"]
        facts += [f"(openable {name})"] if kind in _OPENABLE else []
    for name, kind in world.objects.items():
        place = world.within[name]
        facts += [f"(objectType {name} {kind}Type)", f"(inReceptacle {name} {place})"]
        facts += [f"(objectAtLocation {name} {spots[place]})"]
        facts += [f"({trait} {name})" for trait in _traits(kind)]
    for kind in kinds:
        facts += [f"(canContain {_type(r)} {kind}Type)" for r in places if _fits(kind, r)]
    types = {"SinkBasinType", "MicrowaveType", "FridgeType", *(_type(p) for p in places)}
    return "\n".join(
        [
            "(define (problem chore) (:domain household)",
            f"(:objects agent1 - agent {' '.join(('loc_bar_0', *spots.values()))} - location",
            f"  {' '.join(world.receptacles)} - receptacle {' '.join(world.objects)} - object",
            f"  {' '.join(sorted(types))} - rtype {' '.join(f'{k}Type' for k in kinds)} - otype)",
            "(:init",
            *(f"  {fact}" for fact in facts),
            f")\n(:goal {goal}))",
        ]
    )


def _fits(kind: str, place: str) -> bool:
    return place in _FITS.get(kind, "").split()


def _traits(kind: str) -> list[str]:
    if kind == "DeskLamp":
        return ["toggleable"]
    suited = {verb: kinds.split() for verb, _, kinds in _TREATMENTS.values()}
    return ["pickupable", *(t for t, verb in _TRAITS.items() if kind in suited[verb])]


def _walkthrough(world: _World, plan: _Plan, names: dict[str, str]) -> list[str]:
    commands: list[str] = []
    opened: set[str] = set()
    here = ""
    for verb, item, place in plan.steps:
        thing, spot = names[item.lower()], names[place.lower()]
        if place != here:
            commands.append(f"go to {spot}")
            here = place
        closed = world.receptacles[place] in _OPENABLE and place not in opened
        if closed and verb in ("take", "move"):
            commands.append(f"open {spot}")
            opened.add(place)
        link = {"take": " from ", "move": " to ", "use": ""}.get(verb, " with ")
        commands.append(f"{verb} {thing}{link}{'' if verb == 'use' else spot}")
    return commands
