"""Per-token estimators of KL(pi || pi_ref) from the log-prob of the sampled token.

With d = l - l_ref, in nats:

    k1   d                                      unbiased, may be negative
    abs  |d|
    k2   d^2 / 2
    k3   exp(x) - x - 1, x = clamp(-d, -20, 20), the result clamped to [-10, 10]

A name with `+` (k1+, abs+, k3+) keeps the value and takes the gradient of k2.

Source: Schulman, Approximating KL Divergence (2020); clamps and `+` as in
verl-project/verl:verl/trainer/ppo/core_algos.py, `kl_penalty` ("low_var_kl" there is k3).  Because
of the clamp k3 has no gradient where pi_ref / pi > 13.6; huggingface/trl's k3 is not clamped,
which is `k3-unclamped` here.
"""

from __future__ import annotations

import torch
from torch import Tensor

KINDS = ("k1", "abs", "k2", "k3", "k3-unclamped", "k1+", "abs+", "k2+", "k3+")


def kl_estimate(logprobs: Tensor, ref_logprobs: Tensor, kind: str) -> Tensor:
    """Return the estimator of that kind, element by element, with gradient.

    Args:
        logprobs: l, any shape.
        ref_logprobs: l_ref, same shape.
        kind: one of `KINDS`.
    """
    delta = logprobs - ref_logprobs
    if kind.endswith("+"):
        square = delta**2 / 2
        return square - square.detach() + kl_estimate(logprobs, ref_logprobs, kind[:-1]).detach()
    if kind == "k1":
        return delta
    if kind == "abs":
        return delta.abs()
    if kind == "k2":
        return delta**2 / 2
    if kind == "k3-unclamped":
        return torch.expm1(-delta) + delta
    back = (-delta).clamp(-20.0, 20.0)
    return (back.exp() - back - 1).clamp(-10.0, 10.0)
