"""Chat templates of models, rendered through our renderer's own plumbing.

The templates are those in the package of TRL, which is not installed for this: see `make golden`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2

from tests.golden.missing import Missing

HERE = Path(__file__).parents[2]


@lru_cache
def template(name: str) -> str:
    """Return a template's text."""
    folder = Path(os.environ.get("AGENTRL_TEMPLATES") or HERE / ".venv/templates/trl")
    path = folder / "chat_templates" / f"{name}.jinja"
    if not path.is_file():
        raise Missing(f"no chat template {path}; `make golden` fetches them")
    return path.read_text()


@lru_cache
def tokenizer(name: str) -> Any:
    """Return a small tokenizer with a template of a large model."""
    from agentrl.models.tiny import build_tokenizer

    text = template(name)
    found = build_tokenizer(["some text"], vocab_size=300)
    marks = ["<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>"]
    found.add_special_tokens({"additional_special_tokens": marks[:2]})
    found.chat_template = text
    return found


def render(inputs: Mapping[str, Any], config: Mapping[str, Any]) -> str | dict[str, str]:
    """Return the text of a conversation, or what the template raises."""
    known = {"template", "messages", "tools", "add_generation_prompt"}
    more = {key: value for key, value in inputs.items() if key not in known}
    try:
        text: str = tokenizer(inputs["template"]).apply_chat_template(
            inputs["messages"],
            tools=inputs["tools"],
            add_generation_prompt=inputs["add_generation_prompt"],
            tokenize=False,
            **more,
        )
    except (TypeError, ValueError, jinja2.TemplateError) as error:
        return {"raises": type(error).__name__}
    return text


def tool_suffix(inputs: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what our bridge appends after a turn that ended; None where it refuses."""
    from agentrl.tokens import Renderer
    from agentrl.tokens.bridge import Refusal

    found = tokenizer(inputs["template"])
    bridge = Renderer(found).bridge(inputs["appended"], ended=True)
    if isinstance(bridge, Refusal):
        return {"suffix_after_im_end": None}
    return {"suffix_after_im_end": found.decode(bridge.ids)}


TEMPLATES = ("qwen3", "qwen2_5", "qwen3_training", "qwen3_instruct_2507", "qwen3_5_think")
FUNCTIONS = {f"chat.{name}_render": render for name in TEMPLATES} | {
    "chat.tool_suffix": tool_suffix
}
