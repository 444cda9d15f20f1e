"""Chat templates for the tests, written from the documented behaviour of common families."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

_FRAME = "{{ '<|im_start|>' + m.role + '\\n' }}{{ text }}{{ '<|im_end|>\\n' }}"
_OPEN = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
# Consecutive tool results share one user turn.
_TOOL = (
    "{% set first = loop.first or messages[loop.index0 - 1].role != 'tool' %}"
    "{% set last = loop.last or messages[loop.index0 + 1].role != 'tool' %}"
    "{% if first %}{{ '<|im_start|>user' }}{% endif %}"
    "{{ '\\n<tool_response>\\n' + m.content + '\\n</tool_response>' }}"
    "{% if last %}{{ '<|im_end|>\\n' }}{% endif %}"
)


def _chatml(text: str, head: str = "") -> str:
    return (
        head
        + "{% for m in messages %}{% if m.role == 'tool' %}"
        + _TOOL
        + "{% else %}"
        + text
        + _FRAME
        + "{% endif %}{% endfor %}"
        + _OPEN
    )


PLAIN = _chatml("{% set text = m.content %}")
"""ChatML; nothing is ever rewritten."""

DEFAULT_SYSTEM = _chatml(
    "{% set text = m.content %}",
    "{% if messages[0].role != 'system' %}"
    "{{ '<|im_start|>system\\nBe helpful.<|im_end|>\\n' }}{% endif %}",
)
"""Adds a system text of its own where there is none."""

EMPTY_THINK_LAST = _chatml(
    "{% set text = m.content %}{% if m.role == 'assistant' and loop.last %}"
    "{% set text = '<think>\\n\\n</think>\\n\\n' + m.content %}{% endif %}"
)
"""Shows an empty think block in the last turn only, so every new message rewrites history."""

STRIPS_THINKING = _chatml(
    "{% set text = m.content %}{% if m.role == 'assistant' and not loop.last %}"
    "{% set text = m.content.split('</think>')[-1].lstrip('\\n') %}{% endif %}"
)
"""Removes the thinking of all turns but the last."""

TRIMS = _chatml("{% set text = m.content | trim %}")
"""Trims every message."""

NO_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}" + PLAIN
)

ALTERNATING = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles must alternate user/assistant') }}{% endif %}{% endfor %}" + PLAIN
)

ENDS_WITH_TEXT = "{% for m in messages %}{{ m.role + ': ' + m.content + '\\n' }}{% endfor %}"
"""Closes no turn with a special token."""

APPEND_ONLY = {"plain": PLAIN, "default_system": DEFAULT_SYSTEM, "trims": TRIMS}


def chatml_tokenizer(tokenizer_file: Path, template: str = PLAIN) -> Any:
    """Load an official tokenizer file under one of the templates above."""
    return PreTrainedTokenizerFast(
        tokenizer_file=str(tokenizer_file),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=template,
    )
