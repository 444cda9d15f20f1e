"""Tool environments: what is called, found, answered, rewarded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from agentrl.envs import env_class, episode_metrics, make
from agentrl.envs.tooluse import ToolEnv, tool_prompts
from agentrl.envs.tooluse.action import Action, answer_text, call_text
from agentrl.envs.tooluse.env import DIALECT_TAGS
from agentrl.envs.tooluse.world import world
from agentrl.errors import ConfigError, EnvironmentFailure, UnknownNameError
from agentrl.tools import Tool, ToolCall, ToolError, ToolErrorKind, schema_of, tool
from agentrl.tools.dialects import DIALECTS, BadCall, Reply

ENV_ID = "agentrl/SearchQA-v0"


@tool
async def lookup(word: str) -> str:
    """Look a word up."""
    if word == "down":
        raise ToolError("The search engine does not answer.", ToolErrorKind.UNAVAILABLE)
    if word == "none":
        raise ToolError("There is no such word.")
    return f"{word} is <search>right</search>"


class WordEnv(ToolEnv):
    schemas = (schema_of(lookup),)
    prompts = tool_prompts(schemas)
    prompt = prompts["hermes"]

    @classmethod
    def make_tools(cls, options: Mapping[str, Any]) -> Sequence[Tool]:
        return [lookup]


def words(**options: Any) -> tuple[WordEnv, Any]:
    env = WordEnv()
    observation, info = env.reset(
        seed=1, options={"question": "Which word?", "answers": ["blue", "azure"], **options}
    )
    assert observation == info["task"] == "Which word?"
    return env, info


def test_a_call_shows_its_result_and_an_answer_ends_the_episode():
    env, _ = words()
    observation, reward, terminated, truncated, info = env.step("lookup: a")
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert observation == "a is <\u200bsearch>right<\u200b/search>"
    assert info["tool_results"] == [{"name": "lookup", "text": observation, "error": None}]
    assert info["tool_calls"] == 1 and info["action_valid"]
    _, reward, terminated, _, info = env.step("answer: The Blue.")
    assert (reward, terminated, info["won"], info["final_answer"]) == (1.0, True, True, "The Blue.")
    assert env.step("lookup: a")[2]


@pytest.mark.parametrize(
    ("action", "shown"),
    [
        ("lookup: none", "There is no such word."),
        ("look it up", "neither a call nor an answer"),
        (Action(Reply(calls=(BadCall("x"),)), "<x>").to_text(), "could not be read: x"),
        (
            Action(Reply(calls=(ToolCall(name="lookup", arguments={}),))).to_text(),
            "'word' is a required property",
        ),
        ('{"calls": 3}', "neither a call nor an answer"),
        ("{" * 5000, "neither a call nor an answer"),
    ],
)
def test_what_goes_wrong_is_told_and_the_episode_goes_on(action: str, shown: str):
    env, _ = words()
    observation, reward, terminated, truncated, info = env.step(action)
    assert shown in observation and not info["action_valid"]
    assert (reward, terminated, truncated) == (0.0, False, False)


def test_a_service_that_is_down_is_a_failure_and_not_a_zero():
    env, _ = words()
    with pytest.raises(EnvironmentFailure, match="does not answer"):
        env.step("lookup: down")


def test_calls_are_limited_and_an_episode_may_end_without_an_answer():
    env, _ = words(max_calls=1)
    env.step("lookup: a")
    observation = env.step("lookup: b")[0]
    assert "All 1 tool calls have been made" in observation
    _, reward, terminated, _, info = env.step(Action(Reply(final=True)).to_text())
    assert (reward, terminated, info["final_answer"], info["won"]) == (0.0, True, None, False)


@pytest.mark.parametrize(
    ("reward", "turns", "expected"),
    [
        ("em", ["answer: Azure"], 1.0),
        ("em", ["answer: \\boxed{azure}"], 1.0),
        ("f1", ["answer: blue indeed"], 2 / 3),
        ("cover", ["answer: blue indeed"], 1.0),
        ("arpo", ["answer: \\boxed{blue}"], -1.0),
    ],
)
def test_rewards_by_name(reward: str, turns: list[str], expected: float):
    env, _ = words(reward=reward)
    for turn in turns:
        found = env.step(turn)
    assert found[1] == pytest.approx(expected)


def said(dialect: str, text: str) -> str:
    """Return the action of a model's own words."""
    return WordEnv.prompts[dialect].parse(text, {}).action


def test_rewards_of_form_read_the_models_own_words():
    env, _ = words(reward="arpo")
    env.step(said("arpo", "<think>hm</think><lookup>a</lookup>"))
    good = env.step(said("arpo", "<think>so</think><answer>\\boxed{blue}</answer>"))
    assert good[1] == 1.0 and good[4]["won"]
    env, _ = words(reward="search_r1")
    valid = env.step(said("search_r1", "<think>so</think><answer>blue</answer>"))
    assert valid[1] == 1.0 and valid[4]["reward_parts"] == {"valid_structure": 1.0}
    env, _ = words(reward="search_r1")
    assert env.step(said("search_r1", "<answer>blue</answer>"))[1] == pytest.approx(0.8)
    env, _ = words(reward="search_r1")
    assert env.step(said("search_r1", "<answer>no</answer>"))[1] == pytest.approx(0.1)


def test_an_unknown_reward_is_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match="arpo"):
        words(reward="arpoo")


def test_a_fork_goes_its_own_way():
    env, _ = words(max_calls=3)
    env.step("lookup: a")
    copy = env.fork()
    assert env.step("lookup: b")[4]["anchor"] == copy.step("lookup: b")[4]["anchor"]
    copy.step("lookup: c")
    assert env.step("lookup: c")[4]["tool_calls"] == 3
    assert env.response.written(DIALECTS["arpo"]) == copy.response.written(DIALECTS["arpo"])


def test_actions_are_text_for_people_and_json_for_models():
    reply = Reply(calls=(ToolCall(name="lookup", arguments={"word": "é"}), BadCall("x")))
    action = Action(reply, "words")
    assert Action.of(action.to_text(), WordEnv.schemas) == action
    assert json.loads(action.to_text())["text"] == "words"
    call = Action.of(call_text("lookup", "a: b"), WordEnv.schemas).reply.calls
    assert call == (ToolCall(name="lookup", arguments={"word": "a: b"}),)
    assert Action.of(answer_text("x: y"), WordEnv.schemas).reply.answer == "x: y"


@pytest.mark.parametrize("name", DIALECTS)
def test_a_prompt_reads_what_it_writes_and_shows_what_was_found(name: str):
    prompt = WordEnv.prompts[name]
    env, info = words()
    first = prompt.observe("Which word?", info)
    assert "Which word?" in first
    assert bool(prompt.tools) == (name in ("hermes", "xml_function"))
    parsed = prompt.parse(prompt.answer("lookup: a"), info)
    assert parsed.valid
    observation, *_, info = env.step(parsed.action)
    shown = prompt.observe(observation, info)
    text = shown if isinstance(shown, str) else getattr(shown, "text", None) or shown[0]["content"]
    assert "right" in text
    ended = prompt.parse(prompt.answer("answer: blue"), info)
    assert env.step(ended.action)[2]


class TestWorld:
    def test_every_question_is_answered_by_the_pages_of_its_path(self):
        for seed in range(30):
            for hops, questions in world(seed).questions.items():
                for question in questions:
                    assert len(question.path) == hops
                    last = world(seed).pages[question.path[-1]]
                    assert question.answer in last.text
                    for title, after in zip(question.path, question.path[1:], strict=False):
                        assert after in world(seed).pages[title].links

    def test_a_title_finds_its_page_first_and_the_order_is_fixed(self):
        for seed in range(30):
            for title in world(seed).pages:
                assert world(seed).search(title, 1)[0].title == title
        assert world(3).search("Nowhere at all", 3) == []
        assert world(3).search("town", 9) == world(3).search("town on the", 9)

    def test_worlds_differ_in_their_facts(self):
        texts = {page.text for seed in range(50) for page in world(seed).pages.values()}
        assert len(texts) > 200


class TestSearchQA:
    def test_panels_share_no_world_and_name_their_hops(self):
        cls = env_class(ENV_ID)
        train, heldout = cls.panel("train", count=20, hops=[1, 2, 3]), cls.panel("heldout")
        assert not {t.options["world"] for t in train} & {t.options["world"] for t in heldout}
        assert [task.task_type for task in train][:3] == ["1-hop", "2-hop", "3-hop"]

    @pytest.mark.parametrize(
        "options", [{"hops": [4]}, {"hops": []}, {"hops": 2}, {"count": 0}, {"cuont": 1}]
    )
    def test_wrong_options_are_refused(self, options: dict[str, Any]):
        with pytest.raises((ConfigError, UnknownNameError)):
            env_class(ENV_ID).panel("train", **options)

    def test_the_expert_wins_and_following_no_page_cannot(self):
        for task in env_class(ENV_ID).panel("train", count=12, hops=[1, 2, 3]):
            env = make(ENV_ID)
            _, info = env.reset(seed=task.seed, options=dict(task.options))
            assert task.options["answers"][0] not in task.options["question"]
            terminated = False
            while not terminated:
                _, reward, terminated, _, info = env.step(info["expert_action"])
            assert reward == 1.0 and info["won"]
            assert info["tool_calls"] == len(task.options["path"])


def test_what_tools_were_used_for_is_a_metric_of_the_episode():
    env, _ = words()
    env.step("lookup: a")
    *_, info = env.step("answer: blue")
    found = episode_metrics(info)
    assert (found["success"], found["tools/lookup/calls"]) == (1.0, 1.0)


def test_a_class_without_tools_says_what_to_define():
    class Bare(ToolEnv):
        pass

    with pytest.raises(ConfigError, match="define `make_tools`"):
        Bare().reset(options={"question": "a", "answers": ["b"]})


def test_no_result_holds_a_tag_of_any_dialect():
    assert {tag for dialect in DIALECTS.values() for tag in dialect.tags} == set(DIALECT_TAGS)
    assert {"<search>", "</information>", "<result>", "</tool_call>", "<think>"} < set(DIALECT_TAGS)
