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


def guesses(answer: str, seed: int, count: int = 4) -> list[str]:
    """Return wrong answers that are near the right one, for a player that errs."""
    rng = random.Random(f"guesses {answer} {seed}")
    near = [int(answer) + step for step in (-20, -11, -10, -9, -2, -1, 1, 2, 9, 10, 11, 20)]
    return [str(number) for number in rng.sample(near, count)]


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
