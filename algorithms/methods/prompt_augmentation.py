"""GRPO with a differently worded prompt every time a task is drawn."""

from __future__ import annotations

from dataclasses import replace

from agentrl.algorithms.algorithm import Algorithm
from agentrl.algorithms.checks import one_of
from agentrl.algorithms.methods.dapo import dapo
from agentrl.algorithms.prompts.augmentation import PromptAugmentation
from agentrl.algorithms.prompts.templates import MATHEMATICS, WORDINGS
from agentrl.algorithms.registry import method


@method(
    family="memory",
    source="Prompt Augmentation (arXiv 2602.03190); wenquanlu/prompt-augmentation-GRPO",
    provenance="official vectors",
)
def prompt_augmentation(
    *, templates: str = "wordings", clip_low: float = 0.2, clip_high: float = 0.28
) -> Algorithm:
    """Prompt augmentation: each time a task is drawn its prompt gets another of several templates.

    The template is a function of run seed, epoch and task, the same for all episodes of a group.
    `templates=wordings` varies the system text of any environment and leaves the action format
    alone; `mathematics` are the paper's thirteen kinds for single questions.

    Source: arXiv 2602.03190; clip 0.2 / 0.28, token mean, no KL, no dynamic sampling.
    """
    one_of("templates", templates, ("wordings", "mathematics"))
    chosen = WORDINGS if templates == "wordings" else MATHEMATICS
    base = dapo(
        clip_low=clip_low,
        clip_high=clip_high,
        dual_clip=None,
        overlong="none",
        dynamic_sampling=False,
    )
    prompt = PromptAugmentation(templates=chosen)
    return replace(base, name="prompt_augmentation", prompt=prompt)
