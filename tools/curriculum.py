"""How much noise a simulated search engine mixes in while a policy learns."""

from __future__ import annotations

from agentrl.errors import ConfigError


def noise_probability(
    step: int, steps: int, *, start: float = 0.0, end: float = 0.5, base: float = 4.0
) -> float:
    """Return the probability that a document is a noisy one.

    p(t) = start + (base^(t/T) - 1) / (base - 1) * (end - start), and `end` from T on.

    Source: ZeroSearch; Alibaba-NLP/ZeroSearch:llm_agent/generation.py, `dynamic_threshold`.

    Args:
        step: t.
        steps: T.
        start: probability at first.
        end: probability at last.
        base: 1 is linear; larger ones put the rise off.

    Raises:
        ConfigError: `base` is not positive.
    """
    if base <= 0:
        raise ConfigError(f"`base` of the curriculum must be positive; got {base}.")
    if step >= steps:
        return end
    share = step / steps
    if base != 1:
        share = (base**share - 1) / (base - 1)
    return start + share * (end - start)
