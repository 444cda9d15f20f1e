"""Memory and time of log-prob plus entropy, with gradient, at a large vocabulary.

Compares `agentrl.learner.head.predict` (`tiled`) with two ways to do the same on logits that are
held whole:

* `lean`: the gradient by hand, log-probs kept from the forward to the backward pass and overwritten
  there.  It holds two tokens x vocabulary tensors, about the least that is possible, and makes
  three large matrix products where `predict`, which computes the logits again, makes four.
* `autograd`: log_softmax, gather and -(p log p).sum(-1), as one would write it first.  It holds
  about five such tensors.

The layer is that of a small language model, Qwen2.5-0.5B: width 896, here with 150,000 ids;
float32, one thread.  Each run is a process of its own, and the sides alternate.  Seconds are CPU
seconds of one forward and backward pass, medians are given.  Memory is the peak above the inputs
and above the two gradients that every side returns; `total` is the peak of the whole process.

Five tensors of 4.6 GiB do not fit into most machines, so `autograd` runs with fewer tokens, at two
sizes.  What is given for all tokens is the straight line through the two: `scaled`, not measured.

Run:  OMP_NUM_THREADS=1 python benchmarks/logprob_memory.py [--repeats 3] [--output FILE.json]
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from agentrl.learner.head import predict, tile_of

MIB = 1 << 20


def tiled(hidden: Tensor, weight: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    found = predict(hidden, weight, targets, entropy=True)
    assert found.entropies_M is not None
    return found.logprobs_M, found.entropies_M


def autograd(hidden: Tensor, weight: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    table = (hidden @ weight.T).log_softmax(-1)
    entropies = -(table.exp() * table).sum(-1)
    return table.gather(1, targets[:, None])[:, 0], entropies


class Lean(torch.autograd.Function):
    """Log-prob and entropy with the log-probs of all tokens kept for the backward pass."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-probs and entropies [M]."""
        table = hidden @ weight.T
        table -= table.amax(-1, keepdim=True)
        probs = table.exp()
        total = probs.sum(-1)
        weighted = torch.bmm(probs[:, None], table[:, :, None])[:, 0, 0]
        table -= total.log()[:, None]
        entropies = total.log() - weighted / total
        ctx.table = table
        ctx.save_for_backward(hidden, weight, targets, entropies)
        return table.gather(1, targets[:, None])[:, 0], entropies

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        """Return the gradients of hidden states and weight."""
        hidden, weight, targets, entropies = ctx.saved_tensors
        d_logprobs, d_entropies = (grad[:, None] for grad in grads)
        table = ctx.table
        probs = table.exp()
        table.mul_(-d_entropies).sub_(entropies[:, None] * d_entropies + d_logprobs).mul_(probs)
        del probs
        table.scatter_add_(1, targets[:, None], d_logprobs)
        return table @ weight, table.T @ hidden, None


SIDES = {"tiled": tiled, "lean": Lean.apply, "autograd": autograd}


def run(side: str, tokens: int, vocabulary: int, width: int) -> dict[str, float]:
    """Make one forward and backward pass in this process."""
    torch.manual_seed(0)
    hidden = torch.randn(tokens, width).requires_grad_()
    weight = torch.randn(vocabulary, width).mul_(0.05).requires_grad_()
    targets = torch.randint(vocabulary, (tokens,))
    factors = torch.rand(2, tokens)
    warm = (torch.zeros(64, width).requires_grad_() for _ in range(2))
    logprobs, entropies = SIDES[side](*warm, torch.zeros(64, dtype=torch.long))
    (logprobs + entropies).sum().backward()  # starts the kernels
    before, start = memory("VmRSS"), time.process_time()
    logprobs, entropies = SIDES[side](hidden, weight, targets)
    ((logprobs * factors[0]).mean() + 0.1 * (entropies * factors[1]).mean()).backward()
    seconds = time.process_time() - start
    assert hidden.grad is not None
    assert weight.grad is not None
    total = memory("VmHWM")
    gradients = 4 * (hidden.numel() + weight.numel()) / MIB
    return {
        "seconds": seconds,
        "above_mib": total - before - gradients,
        "total_mib": total,
        "gradient_norm_hidden": float(hidden.grad.norm()),
        "gradient_norm_weight": float(weight.grad.norm()),
    }


def memory(field: str) -> float:
    """A field of this process's memory in MiB (Linux): VmRSS, or VmHWM, the peak so far."""
    status = Path("/proc/self/status").read_text()
    return float(next(line.split()[1] for line in status.splitlines() if field in line)) / 1024


def in_process(side: str, tokens: int, vocabulary: int, width: int) -> dict[str, float]:
    """Run a side in a fresh process, because peak memory only ever grows."""
    sizes = [str(size) for size in (tokens, vocabulary, width)]
    command = [sys.executable, __file__, "--side", side, "--sizes", *sizes]
    out = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, timeout=1800)
    found: dict[str, float] = json.loads(out.stdout)
    print(f"{side:9} {tokens:6} tokens  {found['seconds']:7.1f} s  {found['above_mib']:8.0f} MiB")
    return found


def compare(tokens: int, few: int, vocabulary: int, width: int, repeats: int) -> dict[str, Any]:
    """Alternate the sides; `few` tokens and half of them are what `autograd` gets."""
    cases = {"tiled": (tokens,), "lean": (tokens,), "autograd": (few // 2, few)}
    runs: dict[tuple[str, int], list[dict[str, float]]] = {}
    for _ in range(repeats):
        for side, sizes in cases.items():
            for size in sizes:
                found = in_process(side, size, vocabulary, width)
                runs.setdefault((side, size), []).append(found)
    check_equal([runs["tiled", tokens][0], runs["lean", tokens][0]])
    medians = {key: median(found) for key, found in runs.items()}
    tiled, lean = medians["tiled", tokens], medians["lean", tokens]
    half, whole = medians["autograd", few // 2], medians["autograd", few]
    scaled = {key: half[key] + (whole[key] - half[key]) * (tokens / few * 2 - 1) for key in half}
    return {
        "tokens": tokens,
        "vocabulary": vocabulary,
        "width": width,
        "tile": tile_of(tokens, vocabulary)._asdict(),
        "tiled": tiled,
        "lean": lean,
        "autograd": {str(few // 2): half, str(few): whole},
        "autograd_scaled": scaled,
        "over_lean": ratios(tiled, lean),
        "over_autograd_scaled": ratios(tiled, scaled),
        "seconds_all": {
            f"{side} {size}": [run["seconds"] for run in found]
            for (side, size), found in runs.items()
        },
    }


def median(runs: list[dict[str, float]]) -> dict[str, float]:
    keys = ("seconds", "above_mib", "total_mib")
    return {key: statistics.median(run[key] for run in runs) for key in keys}


def ratios(mine: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    return {
        "time": mine["seconds"] / other["seconds"],
        "memory": mine["above_mib"] / other["above_mib"],
        "total_memory": mine["total_mib"] / other["total_mib"],
    }


def check_equal(runs: list[dict[str, float]]) -> None:
    """Fail unless both sides found the same gradients."""
    for key in ("gradient_norm_hidden", "gradient_norm_weight"):
        first, second = (run[key] for run in runs)
        if abs(first - second) > 1e-4 * abs(second):
            raise RuntimeError(f"The sides differ in {key}: {first} and {second}.")


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor()


def show(result: dict[str, Any]) -> None:
    rows = [("tiled", result["tiled"]), ("lean", result["lean"])]
    rows += [(f"autograd {tokens}", found) for tokens, found in result["autograd"].items()]
    rows += [("autograd scaled", result["autograd_scaled"])]
    print(f"\n{'':16} {'seconds':>8} {'above MiB':>10} {'total MiB':>10}")
    for name, found in rows:
        print(
            f"{name:16} {found['seconds']:8.1f} {found['above_mib']:10.0f} "
            f"{found['total_mib']:10.0f}"
        )
    for other in ("over_lean", "over_autograd_scaled"):
        found = result[other]
        print(f"{other}: time {found['time']:.2f}, memory 1/{1 / found['memory']:.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--vocabulary", type=int, default=150_000)
    parser.add_argument("--width", type=int, default=896)
    parser.add_argument("--autograd-tokens", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--sizes", type=int, nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.side:
        print(json.dumps(run(options.side, *options.sizes)))
        return
    result = {"hardware": cpu_name(), "threads": 1, "torch": torch.__version__} | compare(
        options.tokens, options.autograd_tokens, options.vocabulary, options.width, options.repeats
    )
    show(result)
    if options.output:
        options.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
