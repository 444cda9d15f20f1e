"""What the embedded engine costs beside the forward passes, with up to 1,000 sessions at once.

Claim: the Python time per sampled token (admission, finding cached beginnings, choosing what runs,
layout, streams of results) grows little with the number of sessions.

Loads, with a model of 2 layers of width 64, random weights and random tokens:
  growing   every session's prompt grows from turn to turn
  renewed   every turn is a prompt of its own, as step prompts write it: a common system text, then
            what has just been seen

"beside" is the CPU time of the process minus that of the forward passes and of sampling, one
thread; the sizes alternate, medians are given.

Run:  OMP_NUM_THREADS=1 python benchmarks/engine_sessions.py [--repeats 3] [--output FILE.json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import random
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from agentrl.engines import SamplingParams
from agentrl.engines.embedded import EmbeddedEngine

VOCABULARY = 512
TURNS = 6
SIZES = (125, 250, 500, 1000)


@dataclass(frozen=True)
class Session:
    """One planned session: its prompt, and per turn how much to sample and what comes back."""

    prompt: list[int]
    turns: list[tuple[int, list[int]]]


def plan(count: int) -> tuple[list[int], list[Session]]:
    """Return the common system text and the sessions."""
    draw = random.Random(0)

    def ids(least: int, most: int) -> list[int]:
        return [draw.randrange(1, VOCABULARY) for _ in range(draw.randint(least, most))]

    common = ids(24, 24)
    return common, [
        Session(common + ids(16, 48), [(draw.randint(2, 8), ids(8, 24)) for _ in range(TURNS)])
        for _ in range(count)
    ]


def tiny_model() -> Any:
    torch.manual_seed(0)
    config = transformers.Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        tie_word_embeddings=True,
        max_position_embeddings=1024,
        pad_token_id=0,
    )
    return transformers.AutoModelForCausalLM.from_config(config).eval()


class TimedEngine(EmbeddedEngine):
    """Adds up the CPU seconds of forward passes and sampling."""

    seconds = 0.0

    def _forward(self, *arguments: Any) -> Any:
        begun = time.process_time()
        drawn = super()._forward(*arguments)
        self.seconds += time.process_time() - begun
        return drawn


def run(model: Any, load: str, count: int) -> dict[str, float]:
    common, sessions = plan(count)
    engine = TimedEngine(model)

    async def play(number: int, session: Session) -> None:
        ids = list(session.prompt)
        for turn, (most, seen) in enumerate(session.turns):
            params = SamplingParams(max_tokens=most, seed=number * TURNS + turn)
            completion = await engine.generate(ids, params, session=str(number))
            if load == "growing":
                ids = ids + completion.ids + seen
            else:
                ids = common + seen * 4 + completion.ids
        engine.release(str(number))

    async def main() -> None:
        await asyncio.gather(*(play(number, one) for number, one in enumerate(sessions)))
        await engine.close()

    begun = time.process_time()
    asyncio.run(main())
    total = time.process_time() - begun
    return {
        "cpu_seconds": total,
        "beside_seconds": total - engine.seconds,
        "sampled_tokens": engine.stats.sampled_tokens,
        "computed_tokens": engine.stats.computed_tokens,
        "steps": engine.stats.steps,
    }


def measure(load: str, repeats: int) -> list[dict[str, Any]]:
    model = tiny_model()
    found: dict[int, list[dict[str, float]]] = {size: [] for size in SIZES}
    for _ in range(repeats):
        for size in SIZES:
            found[size].append(run(model, load, size))
    rows = []
    for size, results in found.items():
        middle = {key: statistics.median(r[key] for r in results) for key in results[0]}
        per_token = 1e6 * middle["beside_seconds"] / middle["sampled_tokens"]
        rows.append({"load": load, "sessions": size, **middle, "beside_us_per_token": per_token})
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    print(f"{'load':<10}{'sessions':>9}{'sampled':>9}{'cpu s':>8}{'beside s':>10}{'us/token':>10}")
    for row in rows:
        print(
            f"{row['load']:<10}{row['sessions']:>9}{row['sampled_tokens']:>9.0f}"
            f"{row['cpu_seconds']:>8.2f}{row['beside_seconds']:>10.2f}"
            f"{row['beside_us_per_token']:>10.0f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="runs per size; medians are given")
    parser.add_argument("--only", default="", help="run one load: growing or renewed")
    parser.add_argument("--output", type=Path, help="write the numbers to this JSON file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for load in ("growing", "renewed"):
        if arguments.only in ("", load):
            rows += measure(load, arguments.repeats)
    show(rows)
    machine = {
        "processor": platform.processor(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    report = {"machine": machine, "repeats": arguments.repeats, "rows": rows}
    if arguments.output:
        arguments.output.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
