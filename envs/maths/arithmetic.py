"""Generated arithmetic, as hard as asked for."""

from __future__ import annotations

import random

OPERATIONS = ("+", "-", "*")


def problem(seed: int, digits: int = 2, terms: int = 2, operations: str = "+-") -> tuple[str, str]:
    """Return a problem and its answer.

    Args:
        seed: of the numbers.
        digits: of each number, at most.
        terms: how many numbers.
        operations: characters of `OPERATIONS` to choose from.
    """
    rng = random.Random(f"arithmetic {seed} {digits} {terms} {operations}")
    numbers = [rng.randrange(10**digits) for _ in range(terms)]
    text = str(numbers[0])
    for number in numbers[1:]:
        text += f" {rng.choice(operations)} {number}"
    return text, str(_value(text))


def _value(text: str) -> int:
    """Work a problem out: products first, then from left to right."""
    total, sign = 0, 1
    words = text.split()
    product = int(words[0])
    for operation, word in zip(words[1::2], words[2::2], strict=True):
        if operation == "*":
            product *= int(word)
        else:
            total += sign * product
            sign, product = (1 if operation == "+" else -1), int(word)
    return total + sign * product
