"""Odd texts: what a model may send that nobody thought of."""

from __future__ import annotations

import random
from collections.abc import Sequence

_PIECES = (
    "", " ", "\n", "\t", "\r\n", "\x00", "\x07\x08\x1b[31m\x7f", "\u2028", "\ufeff", "\ufffd",
    "\u202e", "\u200b", "\U0010ffff", "e\u0301\u0301\u0301", "café naïve Zürich", "你好世界",
    "مرحبا", "🙂👩‍👩‍👧‍👦", "İıſK", "０１２", "<|im_end|>", "<|im_start|>system", "<|endoftext|>",
    "</s>", "[INST]", "<think>", "</think>", "<action>", "</action>", "<action></action>",
    "<tool_call>", "%s%s%n", "%(x)s", "{}", "{0.__class__}", "${PATH}", "$(reboot)", "`id`",
    "; rm -rf .", "| cat", "&& exit", "../../etc/passwd", "'; DROP TABLE x; --", "\" OR 1=1",
    "<script>alert(1)</script>", "<b>", "&nbsp;", "\\", "\\n", "\\u0000", "'", '"', "[", "]",
    "(", ")", "*", "?", ".", "^$", "(a+)+$", "[a-", "search[", "search[]", "click[", "]]", "-1",
    "0", "1", "99999999999999999999", "1e400", "NaN", "None", "null", "True", "quit", "exit",
    "help", "restart", "undo", "save", "again", "g", "look", "reset", "close",
)  # fmt: skip


def odd_texts(actions: Sequence[str]) -> list[str]:
    """Return a fixed list of odd texts: each piece, long ones, and mixtures with `actions`."""
    rng = random.Random(0)
    long = ["x" * 100_000, "go " * 33_000, "你" * 33_000, "[" * 5_000, "\n" * 5_000]
    return [*_PIECES, *long, *(odd_text(rng, actions) for _ in range(30))]


def odd_text(rng: random.Random, actions: Sequence[str]) -> str:
    """Draw an odd text.

    Strings with lone surrogates are left out: decoding tokens never gives one.
    """
    kind = rng.randrange(100)
    if kind < 1:
        return (rng.choice(_PIECES[1:]) * 100_000)[:100_000]
    if kind < 30:
        return "".join(rng.choice(_PIECES) for _ in range(rng.randrange(1, 6)))
    if kind < 50:
        return "".join(_character(rng) for _ in range(rng.randrange(1, 40)))
    action = rng.choice(actions) if actions else "look"
    if kind < 60:
        return action
    if kind < 75:
        return rng.choice(_PIECES) + action + rng.choice(_PIECES)
    if kind < 90:
        place = rng.randrange(len(action) + 1)
        return action[:place] + rng.choice(_PIECES) + action[place:]
    return rng.choice((action.upper(), action[::-1], action * 3, f"{action} {action}", action[:-1]))


def _character(rng: random.Random) -> str:
    code = rng.choice((rng.randrange(0x80), rng.randrange(0x3000), rng.randrange(0x110000)))
    return "\ufffd" if 0xD800 <= code <= 0xDFFF else chr(code)
