"""Training speed on trees against the same rows in a padded batch, and memory of the head.

Shows what sharing gains: how much faster an update on the trajectory tree is than one on a padded
batch, and how much less memory log-prob plus entropy need than with materialised logits.

Both sides make the same optimiser step (GRPO without KL, AdamW, one thread) on the same tokens.
*Trajectory tokens* count every token of every trajectory, shared or not, so the number is the same
for both.  Seconds are CPU seconds of the process; the two sides alternate, medians are given.

Run:  OMP_NUM_THREADS=1 python benchmarks/learner_tree.py [--repeats 5] [--output FILE.json]
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from agentrl.algorithms import Normaliser, estimate_advantages, get, policy_loss
from agentrl.algorithms.batch import Stat
from agentrl.learner import Learner, LearnerSettings
from agentrl.learner.head import predict
from agentrl.learner.rows import Rows, rows
from agentrl.tree import Episode, Forest, StopReason, Tree, Writer
from agentrl.types import Task

VOCAB = 2048
RATE = 1e-4
ALGORITHM = get("grpo", kl_coefficient=0.0)


def build_model() -> nn.Module:
    torch.manual_seed(0)
    config = transformers.Qwen2Config(
        vocab_size=VOCAB,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
    )
    model: nn.Module = transformers.Qwen2ForCausalLM(config)
    return model


def grow(
    tree: Tree, tip: int, turns: range, total: int, sampled: int, seen: int, rng: random.Random
) -> list[int]:
    """Append turns to a tip; return the node before each turn, and the last node."""
    tips = [tip]
    for turn in turns:
        ids = [rng.randrange(VOCAB) for _ in range(sampled)]
        # Zero log-probs and entropies: their values do not change the work.
        zeros = [0.0] * sampled
        tip = tree.add(tip, Writer.MODEL, ids, turn=turn, logprobs=zeros, entropies=zeros).id
        if turn < total - 1:
            observation = [rng.randrange(VOCAB) for _ in range(seen)]
            tip = tree.add(tip, Writer.ENVIRONMENT, observation, turn=turn + 1).id
        tips.append(tip)
    return tips


def group(number: int, members: int = 8) -> Tree:
    """A flat group: prompt 720, 8 turns of 24 sampled tokens, 7 observations of 44."""
    rng = random.Random(number)
    tree = Tree(id=f"group-{number}", task=Task(id=str(number), env_id="agentrl/Bench-v0"))
    tree.add(None, Writer.ENVIRONMENT, [rng.randrange(VOCAB) for _ in range(720)])
    for member in range(members):
        last = grow(tree, 0, range(8), 8, 24, 44, rng)[-1]
        tree.episodes.append(
            Episode(id=member, sequences=[last], stop=StopReason.TERMINATED, reward=member % 3)
        )
    return tree


def branches(number: int, leaves: int = 8, turns: int = 10) -> Tree:
    """A branch tree: prompt 200, turns of 15 sampled and 60 observed tokens, late forks."""
    rng = random.Random(number)
    tree = Tree(id=f"branches-{number}", task=Task(id=str(number), env_id="agentrl/Bench-v0"))
    tree.add(None, Writer.ENVIRONMENT, [rng.randrange(VOCAB) for _ in range(200)])
    trunk = grow(tree, 0, range(turns), turns, 15, 60, rng)
    lasts = [trunk[-1]]
    for _ in range(leaves - 1):
        fork = rng.randint(turns * 6 // 10, turns * 8 // 10)
        lasts.append(grow(tree, trunk[fork], range(fork, turns), turns, 15, 60, rng)[-1])
    for leaf, last in enumerate(lasts):
        tree.episodes.append(
            Episode(id=leaf, sequences=[last], stop=StopReason.TERMINATED, reward=leaf % 3)
        )
    return tree


def padded_loss(model: nn.Module, found: Rows, size: int = 8) -> None:
    """Accumulate the gradients of padded batches of `size` rows, logits only where needed."""
    batch = estimate_advantages(ALGORITHM, found.batch)
    normaliser = Normaliser.of(batch.mask_BT)
    for start in range(0, len(found.rows), size):
        index = torch.arange(start, min(start + size, len(found.rows)))
        logprobs_BT = padded_logprobs(model, found, index.tolist())
        part = batch.rows(index)
        stats = {Stat.LOGPROBS: logprobs_BT, Stat.OLD_LOGPROBS: logprobs_BT.detach()}
        policy_loss(ALGORITHM, part.with_stats(stats), normaliser).value.backward()


def padded_logprobs(model: nn.Module, found: Rows, chosen: list[int]) -> Tensor:
    chains, places = [], []
    for row in (found.rows[index] for index in chosen):
        chain: list[int] = []
        place: list[int] = []
        for node in found.trees[row.tree].path(row.last):
            if node.id in row.nodes:
                place += range(len(chain) - 1, len(chain) + len(node.ids) - 1)
            chain += node.ids
        chains.append(chain)
        places.append(place)
    pad = torch.nn.utils.rnn.pad_sequence
    ids = pad([torch.tensor(chain) for chain in chains], batch_first=True)
    before = pad([torch.tensor(place) for place in places], batch_first=True)
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
    hidden = hidden.gather(1, before[..., None].expand(-1, -1, hidden.shape[-1]))
    targets = ids.gather(1, before + 1)
    logits = model.lm_head(hidden)
    return logits.log_softmax(-1).gather(-1, targets[..., None])[..., 0]


def timed(step: Callable[[], object]) -> float:
    start = time.process_time()
    step()
    return time.process_time() - start


def compare(name: str, forest: Forest, repeats: int) -> dict[str, Any]:
    """Alternate padded and tree steps."""
    plain = build_model()
    adamw = torch.optim.AdamW(plain.parameters(), lr=RATE, fused=True)
    found = rows(forest)
    learner = Learner(copy.deepcopy(plain), ALGORITHM, LearnerSettings(learning_rate=RATE))

    def padded_step() -> None:
        padded_loss(plain, rows(forest))
        torch.nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
        adamw.step()
        adamw.zero_grad()

    padded_step(), learner.update(forest)  # warm up
    pairs = [(timed(padded_step), timed(lambda: learner.update(forest))) for _ in range(repeats)]
    padded_seconds, tree_seconds = (statistics.median(side) for side in zip(*pairs, strict=True))
    report = learner.update(forest)
    separate, unique = report["tokens/separate"], report["tokens/unique"]
    return {
        "case": name,
        "rows": len(found.rows),
        "trajectory_tokens": separate,
        "unique_tokens": unique,
        "sharing": separate / unique,
        "padded_seconds": padded_seconds,
        "tree_seconds": tree_seconds,
        "padded_tokens_per_second": separate / padded_seconds,
        "tree_tokens_per_second": separate / tree_seconds,
        "speed_up": padded_seconds / tree_seconds,
        "speed_up_over_sharing": padded_seconds / tree_seconds / (separate / unique),
        "tree_seconds_all": [tree for _, tree in pairs],
    }


def head(kind: str, tokens: int, vocabulary: int, width: int = 512) -> dict[str, float]:
    """Forward and backward of log-prob and entropy in this process; peak memory above the start."""
    torch.manual_seed(0)
    hidden = torch.randn(tokens, width).requires_grad_()
    weight = (torch.randn(vocabulary, width) * 0.05).requires_grad_()
    hidden.grad, weight.grad = torch.zeros_like(hidden), torch.zeros_like(weight)
    targets = torch.randint(vocabulary, (tokens,))
    (hidden[:64] @ weight[:64].T).sum().backward()  # start the kernels before measuring
    before, start = peak_mib(), time.process_time()
    if kind == "chunked":
        found = predict(hidden, weight, targets, entropy=True)
        logprobs, entropies = found.logprobs_M, found.entropies_M
        assert entropies is not None
    else:
        table = (hidden @ weight.T).log_softmax(-1)
        logprobs = table.gather(1, targets[:, None])
        entropies = -(table.exp() * table).sum(-1)
    (logprobs.mean() + 0.1 * entropies.mean()).backward()
    return {"seconds": time.process_time() - start, "peak_mib": peak_mib() - before}


def peak_mib() -> float:
    """Highest memory of this process so far (Linux); getrusage would include the parent's."""
    status = Path("/proc/self/status").read_text()
    return float(next(line.split()[1] for line in status.splitlines() if "VmHWM" in line)) / 1024


def compare_heads(tokens: int, vocabulary: int) -> dict[str, Any]:
    """Each side in a fresh process, because peak memory only ever grows."""
    result: dict[str, Any] = {"tokens": tokens, "vocabulary": vocabulary}
    for kind in ("materialised", "chunked"):
        command = [sys.executable, __file__, "--head", kind, str(tokens), str(vocabulary)]
        out = subprocess.run(command, capture_output=True, check=True, text=True, timeout=600)
        result[kind] = json.loads(out.stdout)
    result["memory_ratio"] = result["materialised"]["peak_mib"] / result["chunked"]["peak_mib"]
    result["time_ratio"] = result["chunked"]["seconds"] / result["materialised"]["seconds"]
    return result


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor()


def show(result: dict[str, Any]) -> None:
    print(f"{'case':24} {'sharing':>8} {'padded tok/s':>13} {'tree tok/s':>11} {'speed-up':>9}")
    for case in result["cases"]:
        print(
            f"{case['case']:24} {case['sharing']:8.2f} {case['padded_tokens_per_second']:13.0f} "
            f"{case['tree_tokens_per_second']:11.0f} {case['speed_up']:9.2f}"
        )
    heads = result["head"]
    for kind in ("materialised", "chunked"):
        side = heads[kind]
        print(f"head {kind:14} {side['peak_mib']:8.0f} MiB {side['seconds']:8.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--head", nargs=3, metavar=("KIND", "TOKENS", "VOCABULARY"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.head:
        kind, tokens, vocabulary = arguments.head
        print(json.dumps(head(kind, int(tokens), int(vocabulary))))
        return
    result = {
        "hardware": cpu_name(),
        "threads": 1,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "cases": [
            compare("group 8 x 1220 (2x)", Forest([group(0), group(1)]), arguments.repeats),
            compare("branch tree 8 x 890", Forest([branches(0)]), arguments.repeats),
        ],
        "head": compare_heads(2048, 32000),
    }
    show(result)
    text = json.dumps(result, indent=1)
    if arguments.output:
        arguments.output.write_text(text + "\n")
    else:
        print(text)


if __name__ == "__main__":
    main()
