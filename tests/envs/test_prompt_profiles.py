"""What each profile shows, written out by hand, and how a set of prompts is put together."""

from __future__ import annotations

import pickle

import pytest

from agentrl.envs import PastStep, TextEnv
from agentrl.envs.prompts import (
    Admissible,
    ChatProfile,
    PlainPrompt,
    SearchAndClicks,
    StepProfile,
    is_step_prompt,
    pieces_after_goal,
    profiles,
    prompt_id,
    templates_and_objects,
    verl_agent_profile,
    written_answer,
)
from agentrl.envs.textworld import CompactPrompt, TextWorldEnv
from agentrl.errors import ConfigError, UnknownNameError

INFO = {"task": "put a pen on the desk.", "admissible_actions": ["go to desk 1", "help", "look"]}
PAST = [PastStep(f"You see {n}.", f"go to shelf {n}") for n in (1, 2, 3)]
FORM = (
    "Think first between <think> and </think>. Then give exactly one action between <action> and "
    "</action>."
)
HOUSE = {"blurb": "a house", "actions": Admissible(hidden=("help",)), "goal_in_first": True}


def test_the_first_step_has_no_history_and_need_not_repeat_the_goal():
    expected = (
        "You control an agent in a house.\n"
        "Step 1. You now observe:\n"
        "You see a desk. Your task is to: put a pen on the desk.\n"
        "Actions you can take now:\n"
        "'go to desk 1'\n"
        "'look'\n" + FORM
    )
    first = "You see a desk. Your task is to: put a pen on the desk."
    profile = StepProfile(**HOUSE)
    assert profile.message(first, INFO, []) == profile.observe(first, INFO) == expected
    assert "Goal: put a pen on the desk.\n" in StepProfile(blurb="a house").observe(first, INFO)
    assert profile.system(INFO) is None


def test_a_later_step_has_the_goal_and_the_latest_two_steps():
    assert StepProfile(**HOUSE).message("You see 4.", INFO, PAST) == (
        "You control an agent in a house.\n"
        "Goal: put a pen on the desk.\n"
        "Steps taken so far: 3. The latest 2 of them:\n"
        "[Observation 2: 'You see 2.', Action 2: 'go to shelf 2']\n"
        "[Observation 3: 'You see 3.', Action 3: 'go to shelf 3']\n"
        "Step 4. You now observe:\n"
        "You see 4.\n"
        "Actions you can take now:\n"
        "'go to desk 1'\n"
        "'look'\n" + FORM
    )


@pytest.mark.parametrize(("history", "shown"), [(0, []), (1, [3]), (3, [1, 2, 3]), (9, [1, 2, 3])])
def test_the_window_holds_the_latest_steps(history, shown):
    text = StepProfile(blurb="a house", history=history).message("You see 4.", INFO, PAST)
    assert [n for n in (1, 2, 3) if f"Observation {n}: 'You see {n}.'" in text] == shown
    assert ("Steps taken so far" in text) == bool(shown)
    assert "Step 4. You now observe:\nYou see 4." in text


def test_older_steps_may_be_shown_by_their_action_only():
    text = StepProfile(blurb="a house", all_actions=True).message("You see 4.", INFO, PAST)
    assert (
        "Steps taken so far: 3. All actions, and observations of the latest 2:\n"
        "[Action 1: 'go to shelf 1']\n"
        "[Observation 2: 'You see 2.', Action 2: 'go to shelf 2']\n"
        "[Observation 3: 'You see 3.', Action 3: 'go to shelf 3']\n"
        "Step 4."
    ) in text


def test_a_prompt_above_the_limit_of_characters_has_no_history():
    whole = StepProfile(blurb="a house").message("You see 4.", INFO, PAST)
    limited = StepProfile(blurb="a house", max_characters=len(whole))
    assert limited.message("You see 4.", INFO, PAST) == whole
    shorter = StepProfile(blurb="a house", max_characters=len(whole) - 1)
    none = StepProfile(blurb="a house", history=0)
    assert shorter.message("You see 4.", INFO, PAST) == none.message("You see 4.", INFO, PAST)


def test_a_history_below_zero_is_refused():
    with pytest.raises(ConfigError, match="`history` is -1"):
        StepProfile(blurb="a house", history=-1)


def test_chat_has_instructions_in_the_system_message_and_observations_as_turns():
    profile = ChatProfile(blurb="a house", guide="Desks hold things.")
    assert profile.system(INFO) == (
        "You control an agent in a house.\n"
        "Goal: put a pen on the desk.\n"
        "Desks hold things.\n" + FORM
    )
    assert profile.observe("You see 4.", {**INFO, "step": 3}) == (
        "Step 4. You now observe:\n"
        "You see 4.\n"
        "Actions you can take now:\n"
        "'go to desk 1'\n"
        "'help'\n"
        "'look'"
    )
    unknown = profile.observe("You see 4.", {**INFO, "admissible_actions": None})
    assert unknown == "Step 1. You now observe:\nYou see 4."


def test_plain_is_goal_observation_and_bare_action():
    plain = PlainPrompt()
    assert plain.system(INFO) == "put a pen on the desk."
    assert plain.observe("You see 4.", INFO) == "You see 4."
    listed = PlainPrompt(show_actions=True).observe("You see 4.", INFO)
    assert listed == "You see 4.\nActions: go to desk 1, help, look"
    assert plain.parse("\n look \nnow", INFO).action == "look"
    assert not plain.parse("fly", INFO).valid
    assert PlainPrompt(only_admissible=False).parse("fly", INFO).valid
    assert plain.stop_strings == ("\n",)
    assert CompactPrompt is PlainPrompt


SHOP = {
    "task": "i need a red mug",
    "has_search_bar": True,
    "clickables": ["search", "b01", "next >"],
    "admissible_actions": None,
}
PAGE = "WebShop [SEP] Instruction: [SEP] i need a red mug [SEP] Page 1 [SEP] Red 'mug'"


def test_a_shop_page_is_cut_after_the_goal_and_quoted_piece_by_piece():
    assert pieces_after_goal(PAGE, SHOP) == "'Page 1' [SEP] 'Red 'mug''"
    assert pieces_after_goal("Thank you!", SHOP) == "Thank you!"


def test_a_shop_offers_a_search_and_clicks():
    assert SearchAndClicks()(SHOP) == "'search[<your query>]'\n'click[b01]'\n'click[next >]'"
    assert SearchAndClicks()({**SHOP, "has_search_bar": False}) == "'click[b01]'\n'click[next >]'"


def test_scienceworld_lists_templates_then_objects():
    info = {"action_templates": ["open OBJ", "look around"], "objects": ["door", "stove"]}
    assert templates_and_objects(info) == "'open OBJ'\n'look around'\nOBJ can be: door, stove"
    assert templates_and_objects({}) == ""


def test_verl_agent_in_alfworld_and_webshop():
    house = verl_agent_profile(
        blurb="a house",
        tail=30,
        lower=True,
        actions=Admissible(hidden=("help",), joiner="\n "),
        goal_in_first=True,
    )
    assert "now:\n'go to desk 1'\n 'look'\nThink" in house.message("You see 4.", INFO, PAST)
    assert house.history == 2 and house.stop_strings == () and house.projection.closed
    shop = verl_agent_profile(
        blurb="a shop",
        tail=20,
        lower=True,
        actions=SearchAndClicks(hidden=(), comma=True),
        show=pieces_after_goal,
        max_characters=13000,
    )
    assert shop.message(PAGE, SHOP, [PastStep(PAGE, "search[mug]")]) == (
        "You control an agent in a shop.\n"
        "Goal: i need a red mug\n"
        "Steps taken so far: 1. The latest 1 of them:\n"
        "[Observation 1: ''Page 1' [SEP] 'Red 'mug''', Action 1: 'search[mug]']\n"
        "Step 2. You now observe:\n"
        "'Page 1' [SEP] 'Red 'mug''\n"
        "Actions you can take now:\n"
        "'search[<your query>]',\n"
        "'click[search]',\n"
        "'click[b01]',\n"
        "'click[next >]',\n" + FORM
    )


def test_verl_agent_in_scienceworld_numbers_all_steps_and_explains_the_actions():
    profile = verl_agent_profile(
        blurb="a lab",
        tail=20,
        lower=False,
        actions=templates_and_objects,
        guide="open OBJ: open a container",
        all_actions=True,
    )
    info = {"task": "boil water", "action_templates": ["open OBJ"], "objects": ["door", "stove"]}
    assert profile.message("You see 4.", info, PAST) == (
        "You control an agent in a lab.\n"
        "Goal: boil water\n"
        "Steps taken so far: 3. All actions, and observations of the latest 2:\n"
        "[Step 1, Action 1: 'go to shelf 1']\n"
        "[Step 2, Observation 2: 'You see 2.', Action 2: 'go to shelf 2']\n"
        "[Step 3, Observation 3: 'You see 3.', Action 3: 'go to shelf 3']\n"
        "Step 4. You now observe:\n"
        "You see 4.\n"
        "open OBJ: open a container\n"
        "Actions you can take now:\n"
        "'open OBJ'\n"
        "OBJ can be: door, stove\n" + FORM
    )


SET = profiles(blurb="a house", lower=True, tail=20)


def test_a_set_has_every_profile_and_each_reads_what_it_asks_for():
    assert list(SET) == ["step", "step-strict", "chat", "chat-strict", "plain", "plain-actions"]
    for name, prompt in SET.items():
        assert is_step_prompt(prompt) == name.startswith("step")
        parsed = prompt.parse(written_answer(prompt, "look"), INFO)
        assert (parsed.action, parsed.valid) == ("look", True)
        silent = prompt.parse("", INFO)
        assert silent.action == (None if name.endswith("strict") else "") and not silent.valid
        assert pickle.loads(pickle.dumps(prompt)) == prompt
    tagged = "<think></think><action>LOOK</action>"
    assert SET["step"].parse(tagged, INFO).action == "look"
    assert SET["chat-strict"].parse(tagged, INFO).action == "look"
    assert SET["chat"].parse("x" * 50, INFO).action == "x" * 20


def test_a_prompt_has_a_name_with_version():
    class House(TextEnv):
        prompt = SET["step"]
        prompts = SET

    class Revised(TextEnv):
        prompts = profiles(blurb="a big house", revision=2)
        prompt = prompts["chat"]

    class Own(TextEnv):
        class Mine(PlainPrompt):
            version = property(lambda self: 7)

        prompt = Mine()

    assert prompt_id(House) == "step@1"
    assert prompt_id(House, "plain") == "plain@1"
    assert prompt_id(Revised) == "chat@3" and prompt_id(Revised, "step-strict") == "step-strict@3"
    assert prompt_id(Own) == "Mine@7"
    assert prompt_id(TextWorldEnv) == "compact@1"
    with pytest.raises(UnknownNameError, match=r"`environment\.prompt` 'stp'"):
        prompt_id(House, "stp")
