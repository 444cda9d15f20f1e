"""GSM8K's reward: the number after `####` near the end of a response.

Source: verl-project/verl:verl/utils/reward_score/gsm8k.py.
"""

from __future__ import annotations

import re

READ_OF_RESPONSE = 300
"""Characters at its end in which the answer is looked for."""

_MARKED = re.compile(r"#### (-?[0-9.,]+)")
_NUMBER = re.compile(r"-?[0-9.,]+")


def gsm8k_reward(response: str, gold: str, *, flexible: bool = False) -> float:
    """Return 1 if the answer is the gold one, digit by digit, else 0.

    Args:
        response: only its end is read.
        gold: a number without commas.
        flexible: take the last number, wherever it stands.
    """
    return float(gsm8k_answer(response, flexible=flexible) == gold)


def gsm8k_answer(response: str, *, flexible: bool = False) -> str | None:
    """Return the last number after `#### `, without commas, or else the last number as written."""
    end = response[-READ_OF_RESPONSE:]
    if not flexible:
        marked: list[str] = _MARKED.findall(end)
        return marked[-1].replace(",", "") if marked else None
    numbers: list[str] = _NUMBER.findall(end)
    real = [number for number in numbers if number != "."] or numbers[:1]
    return real[-1] if real else None
