"""How an action is read from a model's text, case by case."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.envs import ParsedAction
from agentrl.envs.prompts import LENIENT, STRICT
from agentrl.envs.prompts.projection import verl_agent

ALFWORLD = verl_agent(tail=30, lower=True)
WEBSHOP = verl_agent(tail=20, lower=True)
SCIENCEWORLD = verl_agent(tail=20, lower=False)
THOUGHT = "<think>The desk.</think>"
UNTAGGED = "I believe it is best to Go To desk 1"


def read(projection, text):
    parsed = projection(text)
    return parsed.action, parsed.valid


@pytest.mark.parametrize(
    ("text", "action", "valid"),
    [
        (f"{THOUGHT}<action>go to desk 1</action>", "go to desk 1", True),
        (f"{THOUGHT}\n<action>\n go to desk 1 \n</action> done", "go to desk 1", True),
        (f"{THOUGHT}<ACTION>Go To Desk 1</ACTION>", "go to desk 1", True),
        ("<action>look</action>", "look", False),
        ("The desk.</think><action>look</action>", "look", False),
        ("<think>The desk.<action>look</action>", "look", False),
        ("<THINK>The desk.</THINK><action>look</action>", "look", False),
        ("<think>书桌</think><action>look</action>", "look", False),
        (f"{THOUGHT}<action>look</action>好", "look", False),
        ("<think>こんにちは é 🙂</think><action>look</action>", "look", True),
        (f"{THOUGHT}<action>look</action><action>go</action>", "look", True),
        (f"{THOUGHT}<action><action>look</action></action>", "<action>look", True),
        (f"{THOUGHT}<action></action>", "", True),
        (f"{THOUGHT}<action>'look'</action>", "'look'", True),
        (f"{THOUGHT}<action>fly to the moon</action>", "fly to the moon", True),
        (f"{THOUGHT}</action><action>look</action>", "", True),
        (f"{THOUGHT}<action>go to desk 1", "k.</think><action>go to desk 1", False),
        (f"{THOUGHT}go to desk 1</action>", ".</think>go to desk 1</action>", False),
        (UNTAGGED, "eve it is best to go to desk 1", False),
        ("look", "look", False),
        ("", "", False),
    ],
)
def test_the_rule_of_verl_agent_for_alfworld(text, action, valid):
    assert read(ALFWORLD, text) == (action, valid)


def test_verl_agent_sends_the_last_twenty_characters_in_the_other_two():
    assert read(WEBSHOP, UNTAGGED) == ("best to go to desk 1", False)
    assert read(SCIENCEWORLD, UNTAGGED) == ("best to Go To desk 1", False)


def test_scienceworld_keeps_the_case_of_actions_and_of_tags():
    assert read(SCIENCEWORLD, f"{THOUGHT}<action>Focus On X</action>") == ("Focus On X", True)
    assert not read(SCIENCEWORLD, f"{THOUGHT}<ACTION>look</ACTION>")[1]


@pytest.mark.parametrize("projection", [LENIENT, STRICT])
@pytest.mark.parametrize(
    ("text", "action", "valid"),
    [
        (f"{THOUGHT}<action>go to Desk 1</action>", "go to Desk 1", True),
        (f"{THOUGHT}<action> 'look' </action>", "look", True),
        (f'{THOUGHT}<action>"look"</action>', "look", True),
        (f"{THOUGHT}<action>'</action>", "'", True),
        (f"{THOUGHT}<action>search['x']</action>", "search['x']", True),
        (f"{THOUGHT}<action>look", "look", True),
        (f"{THOUGHT}<action>\nlook\nand so on", "look", True),
        (f"{THOUGHT}<action>look</action><action>go</action>", "look", True),
        ("<action>look</action>", "look", False),
        ("<think>书桌</think><action>look</action>", "look", False),
    ],
)
def test_both_own_rules_read_a_tag_that_a_stop_string_may_have_cut(projection, text, action, valid):
    assert read(projection, text) == (action, valid)


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        (UNTAGGED, "eve it is best to Go To desk 1"),
        (f"{THOUGHT}<action></action>", ""),
        (f"{THOUGHT}<action>''</action>", ""),
        (f"{THOUGHT}<action>", ""),
        (f"{THOUGHT}<ACTION>look</ACTION>", "desk.</think><ACTION>look</ACTION>"[-30:]),
        ("", ""),
    ],
)
def test_without_an_action_the_lenient_rule_sends_the_end_and_the_strict_one_nothing(text, sent):
    lenient, strict = LENIENT(text), STRICT(text)
    assert (lenient.action, lenient.valid) == (sent, False)
    assert (strict.action, strict.valid) == (None, False)
    assert lenient.reason == strict.reason in ("no <action> tag", "empty action")


@given(st.text(alphabet=st.sampled_from(list("aA \n'<>/书İ")) | st.characters(codec="utf-8")))
def test_every_rule_reads_any_text(text):
    for projection in (LENIENT, STRICT, ALFWORLD, SCIENCEWORLD):
        for whole in (text, f"<think></think><action>{text}", f"<action>{text}</action>"):
            parsed = projection(whole)
            assert isinstance(parsed, ParsedAction)
            assert parsed.valid == (parsed.reason == "")
            assert parsed.action is not None or (projection is STRICT and not parsed.valid)
