"""How far engine and learner are apart by rounding, by one stale step and by truncation.

Claim: the limits of the mismatch alarm (docs/engines.md) lie above what equal weights give in
float32 and in bfloat16.  A random Qwen2 model samples 32 completions of 100 tokens with the
embedded engine; the learner reports the mismatch of its first optimiser step.

Run:  OMP_NUM_THREADS=1 python benchmarks/engine_mismatch.py [--output FILE.json]
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import json
import platform
import random
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn

from agentrl.algorithms import get
from agentrl.engines import SamplingParams
from agentrl.engines.embedded import EmbeddedEngine
from agentrl.learner import Learner, LearnerSettings
from agentrl.tree import Forest, StopReason, Tree, Writer
from agentrl.types import Task

VOCABULARY, PROMPT, SAMPLED, GROUPS, MEMBERS = 2000, 32, 100, 8, 4
SHOWN = ("mean", "max", "k3", "outside")


def build(scale: float) -> nn.Module:
    """A random model; a scale above 1 makes its distributions more peaked."""
    torch.manual_seed(0)
    config = transformers.Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=6,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=512,
        tie_word_embeddings=True,
    )
    model: nn.Module = transformers.Qwen2ForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() >= 2:
                parameter.mul_(scale)
    return model.eval()


async def sample(model: nn.Module, top_p: float = 1.0) -> Forest:
    """Sample groups; every other member has reward 1."""
    engine, draw, forest = EmbeddedEngine(model), random.Random(0), Forest()
    for group in range(GROUPS):
        prompt = [draw.randrange(VOCABULARY) for _ in range(PROMPT)]
        tree = Tree(id=str(group), task=Task(id=str(group), env_id="none"))
        root = tree.add(None, Writer.ENVIRONMENT, prompt)
        wanted = [
            SamplingParams(max_tokens=SAMPLED, top_p=top_p, seed=group * MEMBERS + member)
            for member in range(MEMBERS)
        ]
        found = await asyncio.gather(*(engine.generate(prompt, params) for params in wanted))
        for member, completion in enumerate(found):
            node = tree.add(root.id, Writer.MODEL, completion.ids, logprobs=completion.logprobs)
            tree.add_episode(
                sequences=[node.id], stop=StopReason.TERMINATED, reward=float(member % 2)
            )
        forest.trees.append(tree)
    await engine.close()
    return forest


def measure(
    scale: float, engine: str, learner: str, behind: int = 0, top_p: float = 1.0
) -> dict[str, Any]:
    """Return the mismatch of a learner `behind` optimiser steps ahead of its engine."""
    sampler = build(scale).to(getattr(torch, engine))
    trained = copy.deepcopy(sampler).to(getattr(torch, learner))
    settings = LearnerSettings(learning_rate=1e-5, microbatch_tokens=2048)
    teacher = Learner(trained, get("grpo", kl_coefficient=0.0), settings)
    forest = asyncio.run(sample(sampler, top_p))
    for _ in range(behind):
        teacher.update(forest)
    report = teacher.update(forest)
    found = {name: report[f"mismatch/{name}"] for name in SHOWN}
    setting = {"scale": scale, "engine": engine, "learner": learner}
    return setting | {"steps_behind": behind, "top_p": top_p} | found


def main() -> None:
    """Measure, print a table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path)
    output = parser.parse_args().output
    torch.set_num_threads(1)
    full, half = "float32", "bfloat16"
    rows = [
        measure(scale, engine, learner, behind, top_p)
        for scale in (1.0, 4.0)
        for engine, learner, behind, top_p in (
            (full, full, 0, 1.0),
            (half, half, 0, 1.0),
            (half, full, 0, 1.0),
            (full, full, 1, 1.0),
            (full, full, 0, 0.9),
        )
    ]
    for row in rows:
        print(
            "  ".join(
                f"{k} {v:.2g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()
            )
        )
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    result = {"machine": platform.processor() or platform.machine(), **versions, "rows": rows}
    if output is not None:
        output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
