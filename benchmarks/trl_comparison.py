"""Rollout and training speed of AgentRL against TRL's `GRPOTrainer(environment_factory=...)`.

Claims: on a multi-turn load AgentRL samples at least 4 times, and trains at least 2.3 times, as
many tokens per CPU second as TRL 1.16 with transformers generation; with branching rollouts, which
TRL does not have, it trains at least 4 times as many.

Both sides start from the same random 2 M-parameter Qwen2 model and the same byte-level tokenizer,
and play the same game (`trl_workload.py`): 2 groups of 8 episodes, a prompt of about 720 tokens, 8
turns of exactly 24 sampled tokens, 7 observations of 44 tokens.  They run in one process, with one
thread, taking turns step by step; the first steps are a warm-up.

What is counted, in CPU seconds of this process:
  rollout    AgentRL: `RolloutScheduler.collect`, plus the CPU seconds of all environment processes;
             TRL: `GRPOTrainer._generate` with its tool loop (environments in the same process)
  score      TRL: rewards, padding and advantages; AgentRL does this as part of its update
  training   AgentRL: `Learner.update`, and invalidating the engine's cache; TRL: the rest of the
             step (forward, backward, clipping, AdamW)
  step       all of these
Sampled tokens count for rollout; all tokens of all trajectories count for training, shared prompts
once per trajectory on both sides.  With `--branch-after 2 4 6` AgentRL's groups are trees that
branch in two after these turns: as many trajectories of the same length, of which shared turns are
sampled and computed once.  Rollouts are then compared by tokens of trajectories, not sampled ones.

Run:  pip install -e '.[bench]' && python benchmarks/trl_comparison.py [--steps 4] [--output F.json]
"""

from __future__ import annotations

import os

# Before torch and transformers are imported.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import argparse
import copy
import json
import platform
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import torch
import transformers
import trl
import trl_side_trl
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import nn
from trl.chat_template_utils import qwen2_5_chat_template
from trl_side_agentrl import AgentrlSide
from trl_workload import Workload

import agentrl

Steps = list[dict[str, float]]
_VOCABULARY = 2048
_CHATML = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_TAGS = tuple(
    f"<{slash}{name}>" for name in ("tools", "tool_call", "tool_response") for slash in ("", "/")
)
_LENGTH_TOLERANCE = 0.02


def build_tokenizer() -> transformers.PreTrainedTokenizerFast:
    """Return a tokenizer of one token per byte, with the Qwen2.5 chat template."""
    pieces = sorted(pre_tokenizers.ByteLevel.alphabet())
    # Never encoded, only sampled: the model needs a vocabulary of the usual shape.
    fill = _VOCABULARY - len(pieces) - len(_CHATML) - len(_TAGS)
    pieces += [f"unused{number}" for number in range(fill)]
    core = Tokenizer(models.BPE({piece: number for number, piece in enumerate(pieces)}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=_CHATML[0],
        eos_token=_CHATML[2],
        additional_special_tokens=[_CHATML[1], *_TAGS],
        chat_template=qwen2_5_chat_template,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def build_model(tokenizer: transformers.PreTrainedTokenizerFast) -> nn.Module:
    """Return a random model of about 2 M parameters."""
    torch.manual_seed(0)
    config = transformers.Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return transformers.Qwen2ForCausalLM(config)


def run(
    workload: Workload, steps: int, warmup: int, branch_after: tuple[int, ...]
) -> tuple[int, dict[str, Steps]]:
    """Alternate both sides; returns the number of parameters and each side's measured steps."""
    tokenizer = build_tokenizer()
    model = build_model(tokenizer)
    ours = copy.deepcopy(model).eval()
    sides: dict[str, Steps] = {"agentrl": [], "trl": []}
    with AgentrlSide(ours, tokenizer, workload, branch_after) as agentrl_side:

        def after_trl_step(numbers: dict[str, float]) -> None:
            sides["trl"].append(numbers)
            sides["agentrl"].append(agentrl_side.step())
            for name, measured in sides.items():
                print(f"{name:>8} {show_step(measured[-1])}", flush=True)

        trl_side_trl.train(model, tokenizer, workload, warmup + steps, after_trl_step)
    parameters = sum(parameter.numel() for parameter in ours.parameters())
    return parameters, {name: measured[warmup:] for name, measured in sides.items()}


def show_step(numbers: dict[str, float]) -> str:
    parts = (f"{name} {numbers[f'{name}_s']:6.2f} s" for name in ("rollout", "train", "step"))
    return "  ".join(parts)


def check_same_work(sides: dict[str, Steps], workload: Workload, branches: bool) -> None:
    """Raise unless both sides sampled the same number of tokens in equally long trajectories."""
    for name, steps in sides.items():
        sampled = {step["sampled_tokens"] for step in steps}
        if branches and name == "agentrl":
            continue
        if sampled != {float(workload.sampled_tokens)}:
            raise RuntimeError(
                f"{name} sampled {sorted(sampled)} tokens a step; {workload.sampled_tokens} wanted."
            )
    ours, theirs = (median(steps, "trajectory_tokens") for steps in sides.values())
    if abs(ours - theirs) > _LENGTH_TOLERANCE * theirs:
        raise RuntimeError(f"Trajectories have {ours:.0f} and {theirs:.0f} tokens a step.")


def median(steps: Steps, key: str) -> float:
    return statistics.median(step[key] for step in steps)


def summary(steps: Steps) -> dict[str, Any]:
    """Return medians and ranges of the seconds, and tokens per CPU second of the medians."""
    seconds = [key for key in steps[0] if key.endswith("_s")]
    result: dict[str, Any] = {
        key: {
            "median": round(median(steps, key), 3),
            "min": round(min(step[key] for step in steps), 3),
            "max": round(max(step[key] for step in steps), 3),
        }
        for key in seconds
    }
    result |= {key: median(steps, key) for key in steps[0] if key.endswith("_tokens")}
    rates = {
        "rollout_sampled_tokens_per_s": ("sampled_tokens", "rollout_s"),
        "train_trajectory_tokens_per_s": ("trajectory_tokens", "train_s"),
        "step_sampled_tokens_per_s": ("sampled_tokens", "step_s"),
    }
    for name, (tokens, duration) in rates.items():
        result[name] = round(median(steps, tokens) / median(steps, duration), 1)
    return result


def compare(sides: dict[str, Steps], branches: bool) -> dict[str, dict[str, float]]:
    """Return for each phase how many times as fast AgentRL is: of the medians, and per round."""
    result = {}
    played = "trajectory_tokens" if branches else "sampled_tokens"
    for phase, unit in (("rollout", played), ("train", "trajectory_tokens"), ("step", played)):
        rates = [
            [step[unit] / step[f"{phase}_s"] for step in sides[name]] for name in ("agentrl", "trl")
        ]
        rounds = [ours / theirs for ours, theirs in zip(*rates, strict=True)]
        of_medians = statistics.median(rates[0]) / statistics.median(rates[1])
        result[phase] = {
            "median": round(of_medians, 2),
            "min": round(min(rounds), 2),
            "max": round(max(rounds), 2),
        }
    return result


def show(report: dict[str, Any]) -> None:
    print(f"\n{'median of ' + str(report['steps']) + ' steps':<34}{'AgentRL':>10}{'TRL':>10}")
    ours, theirs = report["agentrl"], report["trl"]
    for name in ("sampled_tokens", "prompt_tokens", "trajectory_tokens", "computed_tokens"):
        print(f"{name.replace('_', ' ') + ' per step':<34}{ours[name]:>10.0f}{theirs[name]:>10.0f}")
    for name in ("rollout_s", "score_s", "train_s", "step_s"):
        low = [side[name]["median"] for side in (ours, theirs)]
        print(f"{name[:-2] + ' CPU s':<34}{low[0]:>10.2f}{low[1]:>10.2f}")
    for name, phase in (
        ("rollout_sampled_tokens_per_s", "rollout"),
        ("train_trajectory_tokens_per_s", "train"),
        ("step_sampled_tokens_per_s", "step"),
    ):
        ratio = report["agentrl_is_times_as_fast"][phase]
        print(
            f"{name.replace('_', ' '):<34}{ours[name]:>10.0f}{theirs[name]:>10.0f}"
            f"   {ratio['median']:.2f}x ({ratio['min']:.2f} to {ratio['max']:.2f})"
        )


def machine() -> dict[str, Any]:
    lscpu = subprocess.run(["lscpu"], capture_output=True, text=True, check=False).stdout
    names = [line.split(":", 1)[1].strip() for line in lscpu.splitlines() if "Model name" in line]
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "trl": trl.__version__,
        "agentrl": agentrl.__version__,
    }


def measure(
    workload: Workload, steps: int, warmup: int, branch_after: tuple[int, ...]
) -> dict[str, Any]:
    begun, load = time.perf_counter(), os.getloadavg()[0]
    parameters, sides = run(workload, steps, warmup, branch_after)
    check_same_work(sides, workload, bool(branch_after))
    return {
        "machine": machine(),
        "load_average_before_after": [round(load, 2), round(os.getloadavg()[0], 2)],
        "wall_seconds": round(time.perf_counter() - begun, 1),
        "workload": vars(workload) | {"parameters": parameters},
        "branch_after_turns": list(branch_after),
        "clock": "CPU seconds; environment processes included",
        "warmup_steps": warmup,
        "steps": steps,
        "agentrl_is_times_as_fast": compare(sides, bool(branch_after)),
        **{name: summary(measured) for name, measured in sides.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=4, help="measured steps of each side")
    parser.add_argument("--warmup", type=int, default=1, help="steps before, not counted")
    parser.add_argument(
        "--branch-after", type=int, nargs="+", default=[], help="turns after which trees branch"
    )
    parser.add_argument("--output", type=Path, help="write the numbers to this JSON file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    branch_after = tuple(arguments.branch_after)
    report = measure(Workload(), arguments.steps, arguments.warmup, branch_after)
    show(report)
    text = json.dumps(report, indent=2)
    print(text)
    if arguments.output:
        arguments.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
