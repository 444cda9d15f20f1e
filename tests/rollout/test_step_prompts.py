"""Episodes with prompts that write one message per turn, and what a wrong form costs."""

from __future__ import annotations

import pytest

from agentrl import assembly
from agentrl.config import load_config
from agentrl.envs import PastStep, env_class
from agentrl.envs.prompts import STRICT, ChatProfile, PlainPrompt, StepProfile, written_answer
from agentrl.errors import ConfigError
from agentrl.learner.rows import rows
from agentrl.tokens import ContextMode, Renderer
from agentrl.training.rollout_metrics import rollout_metrics
from agentrl.tree import Forest, StopReason
from tests.rollout.rollouts import episode_settings, run
from tests.rollout.scripted import play_script
from tests.rollout.test_episode import play_group

STEP = StepProfile(blurb="a room")
STEP_STRICT = StepProfile(blurb="a room", projection=STRICT)
GO = "<think>a</think><action>go</action>"
WAIT = "<think>b</think><action>wait</action>"
INFO = {"task": "Wait.", "admissible_actions": ["go", "wait"]}


def settings(tokenizer, prompt, **changes):
    mode = ContextMode.choose("auto", per_turn=isinstance(prompt, StepProfile))
    changes = {"prompt": prompt, "context": mode, "max_tokens_per_turn": 64, **changes}
    return episode_settings(tokenizer, max_turns=8, max_context=4096, **changes)


def turns(tree):
    return list(tree.model_nodes(tree.episodes[0]))


def test_every_turn_of_a_step_prompt_is_a_prompt_of_its_own(tiny_tokenizer):
    tree, prompts = play_script(settings(tiny_tokenizer, STEP), tiny_tokenizer, [GO, WAIT, GO], 0)
    seen = ["You wait.", "2 letters, 2 left.", "4 letters, 1 left."]
    past = [PastStep(*pair) for pair in zip(seen, ["go", "wait", "go"], strict=True)]
    render = Renderer(tiny_tokenizer)
    for number, prompt in enumerate(prompts):
        info = INFO if number == 0 else {**INFO, "admissible_actions": None}
        message = STEP.message(seen[number], info, past[:number])
        ids = render.prompt([{"role": "user", "content": message}])
        assert prompt == tiny_tokenizer.decode(ids)
        assert prompt.count("<|user|>") == 1
    (episode,) = tree.episodes
    assert episode.stop is StopReason.TERMINATED and len(episode.sequences) == 3
    tree.check()


def test_a_model_s_turns_after_step_prompts_are_rows_of_their_own(tiny_model, tiny_tokenizer):
    short = StepProfile(blurb="a room", history=1)
    tree, engine, _ = run(
        play_group(tiny_model, tiny_tokenizer, prompt=short, context=ContextMode(0), episodes=2)
    )
    tree.check()
    for episode in tree.episodes:
        asked = [ids for session, ids in engine.asked if session == f"t#{episode.id}"]
        assert [tree.ids(node.parent) for node in tree.model_nodes(episode)] == asked
        assert len(episode.sequences) == episode.turns == 5
    assert len(rows(Forest([tree])).rows) == 10


def test_text_of_the_environment_becomes_no_special_token_in_a_step_prompt(tiny_tokenizer):
    render = Renderer(tiny_tokenizer)
    special = set(tiny_tokenizer.all_special_ids)

    def count(observation, action):
        message = STEP.message("x", INFO, [PastStep(observation, action)])
        ids = render.prompt([{"role": "user", "content": message}])
        return sum(token in special for token in ids)

    assert count("<|end|><|assistant|>", "<|end|>") == count("a", "b")


def test_the_goal_of_the_reset_holds_for_steps_that_say_none(tiny_tokenizer):
    _, prompts = play_script(settings(tiny_tokenizer, STEP), tiny_tokenizer, [GO] * 3, 0)
    assert all("Goal: Wait.\n" in prompt for prompt in prompts)


def test_without_an_action_the_strict_rule_takes_no_step_and_says_why(tiny_tokenizer):
    answers = [GO, "I would rather talk.", "<think></think><action></action>", WAIT, GO]
    tree, prompts = play_script(settings(tiny_tokenizer, STEP_STRICT), tiny_tokenizer, answers, 0)
    silent = "Your last answer could not be carried out: "
    assert f"{silent}no <action> tag.\nYou control an agent" in prompts[2]
    assert f"{silent}empty action.\nYou control an agent" in prompts[3]
    assert silent not in prompts[1] and silent not in prompts[4]
    assert prompts[2].partition(silent)[2].partition("\n")[2] == prompts[1].partition("<|user|>")[2]
    assert "Steps taken so far: 2" in prompts[4] and "Step 3." in prompts[4]
    found = [(n.info["action"], n.info["format_valid"], n.reward) for n in turns(tree)]
    assert found == [
        ("go", True, 0.2),
        (None, False, 0.0),
        (None, False, 0.0),
        ("wait", True, 0.4),
        ("go", True, 0.2),
    ]
    assert tree.episodes[0].turns == 5
    assert [n.info["action_valid"] for n in turns(tree)] == [True, False, False, True, True]


def test_turns_without_a_step_count_against_the_limit(tiny_tokenizer):
    answers = ["nothing"] * 8
    tree, _ = play_script(settings(tiny_tokenizer, STEP_STRICT), tiny_tokenizer, answers)
    (episode,) = tree.episodes
    assert episode.stop is StopReason.TRUNCATED_TURNS and episode.turns == 8
    assert episode.counts and episode.metrics["success"] == 0.0


def test_the_strict_rule_goes_on_in_one_growing_conversation_too(tiny_tokenizer):
    chat = ChatProfile(blurb="a room", projection=STRICT)
    tree, prompts = play_script(
        settings(tiny_tokenizer, chat), tiny_tokenizer, [GO, "hm", WAIT, GO], 0
    )
    assert len(tree.episodes[0].sequences) == 1
    assert prompts[2].startswith(prompts[1])
    assert (
        "<|user|>Your last answer could not be carried out: no <action> tag.\nStep 2." in prompts[2]
    )
    assert prompts[2].count("2 letters, 2 left.") == 2


def test_a_wrong_form_costs_the_penalty_and_the_return_includes_it(tiny_tokenizer):
    changed = settings(tiny_tokenizer, STEP, invalid_action_penalty=0.1)
    tree, _ = play_script(changed, tiny_tokenizer, [GO, "<action>wait</action>", "go"], 0)
    assert [n.info["penalty"] for n in turns(tree)] == [0.0, 0.1, 0.1]
    assert [n.reward for n in turns(tree)] == pytest.approx([0.2, 0.3, 0.1])
    assert tree.episodes[0].reward == pytest.approx(0.6)


def test_the_penalty_holds_for_a_turn_without_a_step(tiny_tokenizer):
    changed = settings(tiny_tokenizer, STEP_STRICT, invalid_action_penalty=0.5)
    tree, _ = play_script(changed, tiny_tokenizer, [GO, "hm", WAIT, GO], 0)
    assert [n.reward for n in turns(tree)] == pytest.approx([0.2, -0.5, 0.4, 0.2])
    assert tree.episodes[0].reward == pytest.approx(0.3)


def test_metrics_have_the_share_of_turns_with_a_wrong_form(tiny_tokenizer):
    tree, _ = play_script(settings(tiny_tokenizer, STEP), tiny_tokenizer, [GO, "go", WAIT], 0)
    metrics = rollout_metrics(Forest([tree]))
    assert metrics["rollout/invalid_format_rate"] == pytest.approx(1 / 3)
    assert metrics["rollout/invalid_action_rate"] == pytest.approx(1 / 3)
    turns(tree)[0].info["action_valid"] = False
    metrics = rollout_metrics(Forest([tree]))
    assert metrics["rollout/invalid_action_rate"] == pytest.approx(2 / 3)
    assert metrics["rollout/invalid_format_rate"] == pytest.approx(1 / 3)
    assert not [name for name in rollout_metrics(Forest([])) if "invalid" in name]


def test_an_expert_writes_its_action_in_the_form_that_the_prompt_asks_for(tiny_tokenizer):
    for prompt in (STEP, PlainPrompt()):
        text = written_answer(prompt, "go")
        tree, _ = play_script(settings(tiny_tokenizer, prompt), tiny_tokenizer, [text] * 3, 0)
        assert all(
            node.info["action"] == "go" and node.info["format_valid"] for node in turns(tree)
        )


@pytest.mark.parametrize(
    ("context", "prompt", "mode"),
    [
        ("auto", "step", "window(0)"),
        ("window(0)", "step", "window(0)"),
        ("auto", "chat", "full"),
        ("auto", None, "full"),
        ("full", "plain", "full"),
        ("window(2)", "chat", "window(2)"),
    ],
)
def test_auto_shows_each_prompt_as_it_is_made_for(context, prompt, mode):
    config = load_config(
        None, [f"rollout.context={context}", f"environment.prompt={prompt or 'null'}"]
    )
    chosen = assembly.prompt_of(config, env_class(config.environment.id))
    assert str(assembly.context_of(config, chosen)) == mode


@pytest.mark.parametrize("context", ["full", "window(2)"])
def test_a_step_prompt_with_history_shown_twice_is_one_clear_error(context):
    config = load_config(None, [f"rollout.context={context}", "environment.prompt=step"])
    with pytest.raises(ConfigError, match=r"`rollout\.context` is .*Use `rollout\.context=auto`"):
        assembly.check(config, env_class(config.environment.id))


def test_a_negative_penalty_is_refused():
    with pytest.raises(ConfigError, match=r"`rollout\.invalid_action_penalty` is -0\.1"):
        load_config(None, ["rollout.invalid_action_penalty=-0.1"])
