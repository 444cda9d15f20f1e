"""Official renderings, reached with templates of our own that follow the documented facts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import chat_templates as chat
import pytest

from agentrl.tokens import Bridge, Refusal, Renderer

# The family's behaviour that the vector shows -> the template of ours that behaves so.
TEMPLATES = {
    "qwen2_5": chat.PLAIN,
    "qwen3_instruct_2507": chat.PLAIN,
    "qwen3_training": chat.PLAIN,
    "qwen3": chat.EMPTY_THINK_LAST,
}


def cases(shared: Path, name: str) -> list[dict[str, Any]]:
    path = shared / "golden" / "tools" / f"chat.{name}.json"
    if not path.is_file():
        pytest.skip(f"no {path}")
    return json.loads(path.read_text())["cases"]


def test_bridges_give_the_official_tool_suffixes(shared, trained_file):
    for case in cases(shared, "tool_suffix"):
        inputs, expected = case["inputs"], case["expected"]["suffix_after_im_end"]
        tokenizer = chat.chatml_tokenizer(trained_file, TEMPLATES[inputs["template"]])
        bridge = Renderer(tokenizer).bridge(inputs["appended"], ended=True)
        if expected is None:
            assert isinstance(bridge, Refusal), case["id"]
        else:
            assert isinstance(bridge, Bridge), case["id"]
            assert tokenizer.decode(bridge.ids) == expected, case["id"]


@pytest.mark.parametrize("name", ["qwen2_5", "qwen3_instruct_2507", "qwen3"])
def test_prompts_decode_to_the_official_renderings(shared, trained_file, name):
    """Cases without tool schemas and calls, where only the frame of each message matters."""
    render = Renderer(chat.chatml_tokenizer(trained_file, chat.PLAIN))
    compared = 0
    for case in cases(shared, f"{name}_render"):
        inputs = case["inputs"]
        messages = inputs["messages"]
        simple = all(
            message["role"] in ("system", "user") and isinstance(message["content"], str)
            for message in messages
        )
        generates = inputs["add_generation_prompt"] and "enable_thinking" not in inputs
        if inputs["tools"] or not simple or not generates or "inject" in case["tag"]:
            continue
        expected = case["expected"]
        default = "<|im_start|>system\nYou are Qwen"
        if expected.startswith(default) and messages[0]["role"] != "system":
            expected = expected[expected.index("<|im_end|>\n") + len("<|im_end|>\n") :]
        assert render.tokenizer.decode(render.prompt(messages)) == expected, case["id"]
        compared += 1
    assert compared >= 2


def test_injected_special_tokens_are_neutralised_in_every_official_case(shared, trained_file):
    render = Renderer(chat.chatml_tokenizer(trained_file, chat.PLAIN))
    injected = [c for c in cases(shared, "qwen3_render") if "special_inject" in c["tag"]]
    assert injected
    for case in injected:
        messages = [
            {"role": m["role"], "content": m["content"]} for m in case["inputs"]["messages"]
        ]
        ids = render.prompt(messages)
        assert ids.count(render.end_of_turn_id) == len(messages), case["id"]
