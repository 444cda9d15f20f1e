"""TRL's side of `trl_comparison.py`: `GRPOTrainer` with `environment_factory`.

A random model never writes a valid tool call, so TRL's response parser is replaced by one that
reports a call of the tool after every turn; tool loop, prompts, masks, rewards and loss are TRL's.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from typing import Any

from datasets import Dataset
from torch import nn
from transformers import PrinterCallback, TrainerCallback
from trl import GRPOConfig, GRPOTrainer
from trl.trainer import grpo_trainer
from trl_workload import GuessGame, Workload, digit_in, invitation

_MICRO_BATCH = 8


class GuessTool:
    """The game as TRL wants it: public methods are tools, their docstrings the schema."""

    def reset(self, seed: int, **_: Any) -> None:
        """Hide a digit; nothing is added to the prompt."""
        self._game = GuessGame(seed)

    def act(self, move: str) -> str:
        """Make a guess.

        Args:
            move: The digit to guess.

        Returns:
            Feedback about the guess.
        """
        distance = self._game.guess(int(move))
        return f"turn {self._game.turn:02d}: distance {distance}"

    def get_reward(self) -> float:
        """Return the score of the game."""
        return self._game.score


class TimedTrainer(GRPOTrainer):
    """TRL's trainer with a CPU clock around its two sampling methods."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.measured: dict[str, float] = {}

    def _generate(self, prompts: list[Any]) -> Any:
        begun = time.process_time()
        result = super()._generate(prompts)
        prompt_ids, completion_ids, tool_mask = result[:3]
        self.measured = {
            "rollout_s": time.process_time() - begun,
            "sampled_tokens": float(sum(map(sum, tool_mask))),
            "trajectory_tokens": float(sum(map(len, prompt_ids)) + sum(map(len, completion_ids))),
            "prompt_tokens": max(map(len, prompt_ids)),
        }
        return result

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        begun = time.process_time()
        result = super()._generate_and_score_completions(inputs)
        self.measured["experience_s"] = time.process_time() - begun
        return result


class _StepClock(TrainerCallback):
    """Times optimiser steps and hands each one's numbers on; what runs then is not timed."""

    def __init__(self, on_step: Callable[[dict[str, float]], None]) -> None:
        self.on_step = on_step
        self.trainer: TimedTrainer | None = None

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self._begun = time.process_time()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        step = time.process_time() - self._begun
        assert self.trainer is not None
        numbers = dict(self.trainer.measured)
        experience = numbers.pop("experience_s")
        numbers |= {
            "score_s": experience - numbers["rollout_s"],
            "train_s": step - experience,
            "step_s": step,
            "computed_tokens": numbers["trajectory_tokens"],
        }
        self.on_step(numbers)


def train(
    model: nn.Module,
    tokenizer: Any,
    workload: Workload,
    steps: int,
    on_step: Callable[[dict[str, float]], None],
) -> None:
    """Train for some steps; `on_step` gets CPU seconds and token counts after each."""
    grpo_trainer.parse_response = _always_a_call
    rows = [
        {"prompt": [{"role": "user", "content": invitation(seed)}], "seed": seed}
        for seed in range(64)
    ]
    clock = _StepClock(on_step)
    with tempfile.TemporaryDirectory() as directory:
        clock.trainer = TimedTrainer(
            model=model,
            args=_config(workload, steps, directory),
            processing_class=tokenizer,
            train_dataset=Dataset.from_list(rows),
            environment_factory=GuessTool,
            callbacks=[clock],
        )
        clock.trainer.remove_callback(PrinterCallback)
        clock.trainer.train()


def _config(workload: Workload, steps: int, directory: str) -> GRPOConfig:
    """Return TRL's defaults with the workload's sizes."""
    exactly = workload.turn_tokens  # the minimum keeps a sampled end-of-turn token from ending it
    return GRPOConfig(
        output_dir=directory,
        use_cpu=True,
        bf16=False,
        max_steps=steps,
        learning_rate=workload.learning_rate,
        loss_type="grpo",
        beta=0.0,
        per_device_train_batch_size=_MICRO_BATCH,
        gradient_accumulation_steps=workload.episodes // _MICRO_BATCH,
        num_generations=workload.members,
        max_completion_length=2048,
        generation_kwargs={"max_new_tokens": exactly, "min_new_tokens": exactly},
        max_tool_calling_iterations=workload.turns - 1,
        gradient_checkpointing=False,
        logging_steps=1,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
    )


def _always_a_call(tokenizer: Any, ids: list[int], **_: Any) -> dict[str, Any]:
    """Read any text as a guess, as AgentRL's side does."""
    move = str(digit_in(tokenizer.decode(ids)))
    call = {"type": "function", "function": {"name": "act", "arguments": {"move": move}}}
    return {"role": "assistant", "content": "", "tool_calls": [call]}
