"""Scores name the version of the prompt, so a prompt may not change under its version."""

from __future__ import annotations

import dataclasses

import pytest

from agentrl.envs.prompts import (
    STRICT,
    Admissible,
    StepProfile,
    profiles,
    verl_agent_profile,
)
from tests.envs.prompt_digest import digest, digests

SHARED = {
    "step@1": "c447a8984d99",
    "step-strict@1": "a74c4c220cc8",
    "chat@1": "0675b6b98e3b",
    "chat-strict@1": "bdd6b92d80d7",
    "plain@1": "1e09b5c73763",
    "plain-actions@1": "27aadebd8b28",
    "verl-agent@1": "63d89c784705",
}
ENVIRONMENTS = {
    "agentrl/TextWorld-v0": {
        "compact@1": "1e09b5c73763",
        "step@1": "0eaef7b5a575",
        "step-strict@1": "5f5e6ea9417d",
        "chat@1": "8f7ef599a7c0",
        "chat-strict@1": "2b0b43660852",
        "plain@1": "1e09b5c73763",
        "plain-actions@1": "27aadebd8b28",
    },
    "agentrl/ALFWorld-v0": {
        "step@1": "8a175dfa7ac0",
        "step-strict@1": "f14f042e3d20",
        "chat@1": "4fd084430b41",
        "chat-strict@1": "810931db21ac",
        "plain@1": "1e09b5c73763",
        "plain-actions@1": "27aadebd8b28",
        "verl-agent@1": "a83ac7c9c9ad",
    },
    "agentrl/ScienceWorld-v0": {
        "step@1": "707db16b3947",
        "step-strict@1": "159d9e2860a7",
        "chat@1": "728d6d1964d8",
        "chat-strict@1": "a7a9c7133877",
        "plain@1": "3a120423767f",
        "plain-actions@1": "8457c5e43ae5",
        "verl-agent@1": "5fa7fd82092d",
    },
    "agentrl/WebShop-v0": {
        "step@1": "2575689a025a",
        "step-strict@1": "0a3e7ccbe3f6",
        "chat@1": "837a0f426580",
        "chat-strict@1": "e5064cdab078",
        "plain@1": "92ca2012ec32",
        "plain-actions@1": "fee51fdd47b6",
        "verl-agent@1": "838281e1d4c1",
    },
}
ADVICE = (
    "what this prompt shows or reads has changed: raise `revision` of the environment's profiles "
    "(or `wording` of the profile class), and write the new name and digest here"
)


def test_a_profile_of_one_version_shows_and_reads_the_same_for_ever():
    prompts = profiles(
        blurb="a shop",
        verl_agent=verl_agent_profile(blurb="a shop", tail=20, lower=True, actions=Admissible()),
    )
    found = {f"{name}@{prompt.version}": digest(prompt) for name, prompt in prompts.items()}
    assert found == SHARED, ADVICE


@pytest.mark.parametrize("env_id", ENVIRONMENTS)
def test_an_environment_s_prompt_of_one_version_shows_and_reads_the_same_for_ever(env_id):
    assert digests(env_id) == ENVIRONMENTS[env_id], ADVICE


def test_a_digest_sees_wording_projection_and_stop_strings():
    step = StepProfile(blurb="a shop")
    others = [
        StepProfile(blurb="a big shop"),
        dataclasses.replace(step, projection=STRICT),
        dataclasses.replace(step, stop_strings=()),
        dataclasses.replace(step, history=1),
        dataclasses.replace(step, all_actions=True),
        dataclasses.replace(step, goal_in_first=True),
    ]
    assert len({digest(prompt) for prompt in (step, *others)}) == 7
