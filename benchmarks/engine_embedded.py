"""Rollout speed of the embedded engine against plain transformers.

Claims: on a multi-turn load the engine samples several times more tokens per CPU second than
`generate`, which computes the whole history again every turn, and more than a lock-step loop that
keeps one `DynamicCache` for the batch.

Loads, all with random weights and random tokens:
  group       2 groups x 8 members, prompt 720, 8 turns of 24 sampled tokens, observations of 44
  long        episodes of many turns with observations of uneven length and no common prompt
  quickstart  64 short episodes, turns of 2 to 6 sampled tokens, a 0.9 M-parameter model

Every side computes its own tokens from the same plan.  Seconds are CPU seconds of the process with
one thread; the sides alternate, medians are given.  `generate` pads the batch on the left and
samples as many tokens as the longest turn wants; only wanted tokens count.

Run:  OMP_NUM_THREADS=1 python benchmarks/engine_embedded.py [--repeats 3] [--output FILE.json]
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import json
import platform
import random
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn

from agentrl.engines import SamplingParams
from agentrl.engines.embedded import EmbeddedEngine


@dataclass(frozen=True)
class Load:
    """A rollout to be done; ranges are inclusive, lengths in tokens."""

    name: str
    config: transformers.PreTrainedConfig
    groups: int
    members: int
    common: int
    prompt: int
    turns: int
    sampled: tuple[int, int]
    observation: tuple[int, int]

    @property
    def lockstep(self) -> bool:
        """Whether all episodes always have the same length."""
        return self.sampled[0] == self.sampled[1] and self.observation[0] == self.observation[1]


@dataclass(frozen=True)
class Episode:
    """One planned episode: its prompt, and per turn how much to sample and what comes back."""

    prompt: list[int]
    turns: list[tuple[int, list[int]]]


def loads(long_episodes: int, long_turns: int) -> list[Load]:
    shape = {"num_hidden_layers": 4, "max_position_embeddings": 4096, "pad_token_id": 0}
    group = transformers.Qwen2Config(
        vocab_size=2048,
        hidden_size=192,
        intermediate_size=512,
        num_attention_heads=6,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        **shape,
    )
    long = transformers.Qwen2Config(
        vocab_size=2048,
        hidden_size=256,
        intermediate_size=704,
        num_attention_heads=8,
        num_key_value_heads=4,
        **shape,
    )
    quickstart = transformers.Qwen3Config(
        vocab_size=1000,
        hidden_size=128,
        intermediate_size=344,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        tie_word_embeddings=True,
        **shape,
    )
    return [
        Load("group", group, 2, 8, 0, 720, 8, (24, 24), (44, 44)),
        Load("long", long, long_episodes, 1, 0, 200, long_turns, (15, 15), (40, 80)),
        Load("quickstart", quickstart, 8, 8, 25, 40, 12, (2, 6), (10, 20)),
    ]


def plan(load: Load) -> list[Episode]:
    draw = random.Random(0)

    def ids(count: int) -> list[int]:
        return [draw.randrange(1, load.config.vocab_size) for _ in range(count)]

    common = ids(load.common)
    episodes = []
    for _ in range(load.groups):
        prompt = common + ids(load.prompt - load.common)
        for _ in range(load.members):
            turns = [
                (draw.randint(*load.sampled), ids(draw.randint(*load.observation)))
                for _ in range(load.turns)
            ]
            episodes.append(Episode(prompt, turns))
    return episodes


def run_engine(model: nn.Module, episodes: list[Episode]) -> dict[str, float]:
    engine = EmbeddedEngine(model)

    async def play(number: int, episode: Episode) -> None:
        ids = list(episode.prompt)
        for count, observation in episode.turns:
            params = SamplingParams(max_tokens=count)
            completion = await engine.generate(ids, params, session=str(number))
            ids = ids + completion.ids + observation
        engine.release(str(number))

    async def main() -> None:
        await asyncio.gather(*(play(number, episode) for number, episode in enumerate(episodes)))
        await engine.close()

    asyncio.run(main())
    stats = engine.stats
    return {"computed_tokens": stats.computed_tokens, "steps": stats.steps}


@torch.inference_mode()
def run_generate(model: Any, episodes: list[Episode]) -> dict[str, float]:
    histories = [list(episode.prompt) for episode in episodes]
    for turn in range(len(episodes[0].turns)):
        longest = max(len(ids) for ids in histories)
        padded = torch.tensor([[0] * (longest - len(ids)) + ids for ids in histories])
        most = max(episode.turns[turn][0] for episode in episodes)
        out = model.generate(
            padded,
            attention_mask=(padded != 0).long(),
            do_sample=True,
            top_k=0,
            max_new_tokens=most,
            min_new_tokens=most,
        )[:, longest:].tolist()
        for ids, episode, new in zip(histories, episodes, out, strict=True):
            count, observation = episode.turns[turn]
            ids += [token or 1 for token in new[:count]] + observation
    return {}


@torch.inference_mode()
def run_lockstep(model: Any, episodes: list[Episode]) -> dict[str, float]:
    cache = transformers.DynamicCache(config=model.config)
    new = torch.tensor([episode.prompt for episode in episodes])
    for turn in range(len(episodes[0].turns)):
        for _ in range(episodes[0].turns[turn][0]):
            out = model(input_ids=new, past_key_values=cache, use_cache=True, logits_to_keep=1)
            new = torch.multinomial(out.logits[:, -1].float().softmax(-1), 1)
        observations = torch.tensor([episode.turns[turn][1] for episode in episodes])
        # The last sampled token has no cache entry yet.
        new = torch.cat([new, observations], dim=1)
    return {}


def measure(load: Load, repeats: int) -> list[dict[str, Any]]:
    torch.manual_seed(0)
    model_class = transformers.AutoModelForCausalLM
    ours = model_class.from_config(copy.deepcopy(load.config)).eval()
    plain = model_class.from_config(copy.deepcopy(load.config), attn_implementation="sdpa").eval()
    plain.load_state_dict(ours.state_dict())
    plain.generation_config.eos_token_id = None
    episodes = plan(load)
    sampled = sum(count for episode in episodes for count, _ in episode.turns)
    sides: dict[str, tuple[Callable[..., dict[str, float]], Any]] = {
        "embedded engine": (run_engine, ours),
        "transformers generate": (run_generate, plain),
    }
    if load.lockstep:
        sides["lock-step DynamicCache"] = (run_lockstep, plain)
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    extra: dict[str, dict[str, float]] = {}
    for _ in range(repeats):
        for name, (run, model) in sides.items():
            begun = time.process_time()
            extra[name] = run(model, episodes)
            seconds[name].append(time.process_time() - begun)
    return [
        {
            "load": load.name,
            "side": name,
            "parameters": ours.num_parameters(),
            "episodes": len(episodes),
            "turns": load.turns,
            "sampled_tokens": sampled,
            "cpu_seconds": round(statistics.median(times), 3),
            "sampled_tokens_per_cpu_second": round(sampled / statistics.median(times), 1),
            **extra[name],
        }
        for name, times in seconds.items()
    ]


def machine() -> dict[str, Any]:
    lscpu = subprocess.run(["lscpu"], capture_output=True, text=True, check=False).stdout
    model = [line.split(":", 1)[1].strip() for line in lscpu.splitlines() if "Model name" in line]
    return {
        "cpu": model[0] if model else platform.processor(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def show(rows: list[dict[str, Any]]) -> None:
    print(f"{'load':<12}{'side':<26}{'sampled':>9}{'cpu s':>9}{'tok/cpu s':>11}{'engine is':>11}")
    ours = {row["load"]: row["cpu_seconds"] for row in rows if row["side"] == "embedded engine"}
    for row in rows:
        ratio = row["cpu_seconds"] / ours[row["load"]]
        print(
            f"{row['load']:<12}{row['side']:<26}{row['sampled_tokens']:>9}"
            f"{row['cpu_seconds']:>9.2f}{row['sampled_tokens_per_cpu_second']:>11.0f}{ratio:>10.1f}x"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3, help="runs per side; medians are given")
    parser.add_argument("--long-episodes", type=int, default=16, help="episodes of the long load")
    parser.add_argument("--long-turns", type=int, default=8, help="turns of the long load")
    parser.add_argument("--only", default="", help="run one load: group, long or quickstart")
    parser.add_argument("--output", type=Path, help="write the numbers to this JSON file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for load in loads(arguments.long_episodes, arguments.long_turns):
        if arguments.only in ("", load.name):
            rows += measure(load, arguments.repeats)
    show(rows)
    report = {"machine": machine(), "repeats": arguments.repeats, "rows": rows}
    text = json.dumps(report, indent=2)
    print(text)
    if arguments.output:
        arguments.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
