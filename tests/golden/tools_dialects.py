"""Official readings of tool calls, next to ours."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agentrl.tools.base import ToolCall
from agentrl.tools.curriculum import noise_probability
from agentrl.tools.dialects.chat import CLOSING, OPENING, xml_call
from agentrl.tools.dialects.reply import blocks
from agentrl.tools.dialects.tags import first_block, last_block

SCHEMA = {
    "function": {
        "name": "search",
        "parameters": {
            "properties": {
                "query": {"type": "string"},
                "k": {"type": "integer"},
                "flag": {"type": "boolean"},
                "w": {"type": "number"},
                "l": {"type": "array"},
                "o": {"type": "object"},
            }
        },
    }
}


def tag_parse(inputs: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Search-R1 takes the first block, ARPO what lies before the last closing tag."""
    text = inputs["text"]
    found = first_block(text, ("search", "answer"))
    for tag in ("</search>", "</answer>"):
        if tag in text:
            cut = text[: text.index(tag) + len(tag)]
            break
    else:
        cut = text
    return {
        "searchr1": {
            "action": found[0] if found else None,
            "content": found[1].strip() if found else "",
        },
        "searchr1_cut": cut,
        "arpo_search": last_block(text, "search"),
        "arpo_python": last_block(text, "python"),
    }


def hermes_parse(inputs: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """In verl a call is what Python reads as JSON, NaN included; what is none is dropped."""
    text = inputs["text"]
    rest, calls, place = "", [], 0
    for start, end, content in blocks(text, OPENING, CLOSING):
        if content is None:
            break
        rest += text[place:start]
        place = end
        try:
            value = json.loads(content)
        except ValueError:
            continue
        if isinstance(value, dict) and isinstance(value.get("name"), str) and "arguments" in value:
            arguments = json.dumps(value["arguments"], ensure_ascii=False)
            calls.append({"name": value["name"], "arguments": arguments})
    return {"content": rest + text[place:], "tool_calls": calls}


def xml_parse(inputs: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Verl reads what is no boolean as false, which we leave to the tool's schema to refuse."""
    text = inputs["text"]
    calls = []
    for start, end, content in blocks(text, OPENING, CLOSING):
        call = xml_call(text[start + len(OPENING) : end] if content is None else content, [SCHEMA])
        if isinstance(call, ToolCall):
            values = dict(call.arguments)
            if call.name == "search" and isinstance(values.get("flag"), str):
                values["flag"] = False
            arguments = json.dumps(values, ensure_ascii=False)
            calls.append({"name": call.name, "arguments": arguments})
    return {"content": text.partition(OPENING)[0], "tool_calls": calls}


def curriculum(inputs: Mapping[str, Any], config: Mapping[str, Any]) -> float:
    """ZeroSearch's share of noisy documents."""
    return noise_probability(
        inputs["current_step"],
        inputs["total_steps"],
        start=inputs["start_threshold"],
        end=inputs["end_threshold"],
        base=inputs["exp_base"],
    )


FUNCTIONS = {
    "tools.tag_parse": tag_parse,
    "tools.hermes_parse": hermes_parse,
    "tools.qwen3_xml_parse": xml_parse,
    "tools.zerosearch_curriculum": curriculum,
}
