"""Our own household: the PDDL domain and text grammar of generated games.

Written for AgentRL.  Predicates, commands and the order of parameters follow the published games,
so that agents and the expert play both; rooms, goals and texts are ours.
"""

from __future__ import annotations

DOMAIN = """\
(define (domain household)
  (:requirements :adl :typing)
  (:types agent location receptacle object rtype otype)
  (:predicates
    (atLocation ?a - agent ?l - location)
    (receptacleAtLocation ?r - receptacle ?l - location)
    (objectAtLocation ?o - object ?l - location)
    (inReceptacle ?o - object ?r - receptacle)
    (openable ?r - receptacle) (opened ?r - receptacle)
    (receptacleType ?r - receptacle ?t - rtype) (objectType ?o - object ?t - otype)
    (canContain ?rt - rtype ?ot - otype)
    (holds ?a - agent ?o - object) (holdsAny ?a - agent)
    (cleanable ?o - object) (heatable ?o - object) (coolable ?o - object)
    (toggleable ?o - object) (pickupable ?o - object)
    (isClean ?o - object) (isHot ?o - object) (isCool ?o - object) (isToggled ?o - object)
    (seen ?a - agent))

  (:action look :parameters (?a - agent ?l - location)
    :precondition (atLocation ?a ?l) :effect (seen ?a))
  (:action inventory :parameters (?a - agent) :precondition () :effect (seen ?a))
  (:action help :parameters (?a - agent) :precondition () :effect (seen ?a))
  (:action examineReceptacle :parameters (?a - agent ?r - receptacle)
    :precondition (exists (?l - location) (and (atLocation ?a ?l) (receptacleAtLocation ?r ?l)))
    :effect (seen ?a))
  (:action examineObject :parameters (?a - agent ?o - object)
    :precondition (or (holds ?a ?o) (exists (?l - location ?r - receptacle)
      (and (atLocation ?a ?l) (receptacleAtLocation ?r ?l) (inReceptacle ?o ?r)
        (or (opened ?r) (not (openable ?r))))))
    :effect (seen ?a))

  (:action GotoLocation :parameters (?a - agent ?lStart - location ?lEnd - location ?r - receptacle)
    :precondition (and (atLocation ?a ?lStart) (receptacleAtLocation ?r ?lEnd))
    :effect (and (not (atLocation ?a ?lStart)) (atLocation ?a ?lEnd)))
  (:action OpenObject :parameters (?a - agent ?l - location ?r - receptacle)
    :precondition (and (atLocation ?a ?l) (receptacleAtLocation ?r ?l) (openable ?r)
      (not (opened ?r)))
    :effect (opened ?r))
  (:action CloseObject :parameters (?a - agent ?l - location ?r - receptacle)
    :precondition (and (atLocation ?a ?l) (receptacleAtLocation ?r ?l) (openable ?r) (opened ?r))
    :effect (not (opened ?r)))
  (:action PickupObject :parameters (?a - agent ?l - location ?o - object ?r - receptacle)
    :precondition (and (atLocation ?a ?l) (receptacleAtLocation ?r ?l) (inReceptacle ?o ?r)
      (pickupable ?o) (not (holdsAny ?a)) (or (opened ?r) (not (openable ?r))))
    :effect (and (holds ?a ?o) (holdsAny ?a) (not (inReceptacle ?o ?r))
      (not (objectAtLocation ?o ?l))))
  (:action PutObject
    :parameters (?a - agent ?l - location ?o - object ?r - receptacle ?ot - otype ?rt - rtype)
    :precondition (and (holds ?a ?o) (atLocation ?a ?l) (receptacleAtLocation ?r ?l)
      (objectType ?o ?ot) (receptacleType ?r ?rt) (canContain ?rt ?ot)
      (or (opened ?r) (not (openable ?r))))
    :effect (and (not (holds ?a ?o)) (not (holdsAny ?a)) (inReceptacle ?o ?r)
      (objectAtLocation ?o ?l)))
  (:action CleanObject :parameters (?a - agent ?l - location ?r - receptacle ?o - object)
    :precondition (and (holds ?a ?o) (cleanable ?o) (atLocation ?a ?l) (receptacleAtLocation ?r ?l)
      (receptacleType ?r SinkBasinType))
    :effect (isClean ?o))
  (:action HeatObject :parameters (?a - agent ?l - location ?r - receptacle ?o - object)
    :precondition (and (holds ?a ?o) (heatable ?o) (atLocation ?a ?l) (receptacleAtLocation ?r ?l)
      (receptacleType ?r MicrowaveType))
    :effect (and (isHot ?o) (not (isCool ?o))))
  (:action CoolObject :parameters (?a - agent ?l - location ?r - receptacle ?o - object)
    :precondition (and (holds ?a ?o) (coolable ?o) (atLocation ?a ?l) (receptacleAtLocation ?r ?l)
      (receptacleType ?r FridgeType))
    :effect (and (isCool ?o) (not (isHot ?o))))
  (:action ToggleObject :parameters (?a - agent ?l - location ?o - object ?r - receptacle)
    :precondition (and (toggleable ?o) (atLocation ?a ?l) (receptacleAtLocation ?r ?l)
      (inReceptacle ?o ?r))
    :effect (isToggled ?o))
)
"""

GRAMMAR = '''\
grammar :: """{
  "intro": [{"rhs": "You stand in the doorway of a room. You can see #places#.\\n\\n#task#"}],
  "task": [{"rhs": "Your task is to: UNKNOWN GOAL."}],
  "places": [{"rhs": "[{#one(r)# | HERE}]"}],
  "one(r)": [{"rhs": "{r.indefinite} {r.name}"}],
  "content": [
    {"condition": "openable(r:receptacle) & opened(r:receptacle)",
     "rhs": "The {r.name} is open. Inside: #things#."},
    {"condition": "openable(r:receptacle)", "rhs": "The {r.name} is closed."},
    {"rhs": "On the {r.name}: #things#."}],
  "things":
    [{"rhs": "[{o.indefinite + ' ' + o.name | inreceptacle(o:object, r:receptacle)}]"}],
  "state": [
    {"condition": "toggleable(o:object) & istoggled(o:object)", "rhs": "switched on"},
    {"condition": "toggleable(o:object)", "rhs": "switched off"},
    {"condition": "ishot(o:object) & isclean(o:object)", "rhs": "hot and clean"},
    {"condition": "iscool(o:object) & isclean(o:object)", "rhs": "cold and clean"},
    {"condition": "ishot(o:object)", "rhs": "hot"},
    {"condition": "iscool(o:object)", "rhs": "cold"},
    {"condition": "isclean(o:object)", "rhs": "clean"},
    {"rhs": "ordinary"}],
  "surroundings": [
    {"condition": "atlocation(a:agent, l:location) & HERE",
     "rhs": "You are at the [{r.name | atlocation(a:agent, l:location) & HERE}]."},
    {"rhs": "You stand in the doorway of a room. You can see #places#."}],
  "hands": [
    {"condition": "holdsany(a:agent)",
     "rhs": "You carry [{o.indefinite + ' ' + o.name | holds(a:agent, o:object)}]."},
    {"rhs": "You carry nothing."}],
  "list_empty": [{"rhs": "nothing"}],
  "list_separator": [{"rhs": ", "}],
  "list_last_separator": [{"rhs": ", and "}]
}""";

action look { template :: "look"; feedback :: "#surroundings#"; }
action inventory { template :: "inventory"; feedback :: "#hands#"; }
action help {
  template :: "help";
  feedback :: "You can look, go, open, close, take, move, examine, use, heat, clean and cool.";
}
action examineReceptacle { template :: "examine {r}"; feedback :: "#content#"; }
action examineObject { template :: "examine {o}"; feedback :: "The {o.name} is #state#."; }
action GotoLocation {
  template :: "go to {r}";
  feedback :: "You walk to the {r.name}. #content#";
}
action OpenObject { template :: "open {r}"; feedback :: "You open the {r.name}. #content#"; }
action CloseObject { template :: "close {r}"; feedback :: "You close the {r.name}."; }
action PickupObject {
  template :: "take {o} from {r}";
  feedback :: "You take the {o.name} from the {r.name}.";
}
action PutObject {
  template :: "move {o} to {r}";
  feedback :: "You move the {o.name} to the {r.name}.";
}
action CleanObject {
  template :: "clean {o} with {r}";
  feedback :: "You clean the {o.name} at the {r.name}.";
}
action HeatObject {
  template :: "heat {o} with {r}";
  feedback :: "You heat the {o.name} in the {r.name}.";
}
action CoolObject {
  template :: "cool {o} with {r}";
  feedback :: "You cool the {o.name} in the {r.name}.";
}
action ToggleObject { template :: "use {o}"; feedback :: "You switch the {o.name} on."; }
'''.replace("HERE", "receptacleatlocation(r:receptacle, l:location)")
