"""Prompt augmentation: every time a prompt is drawn, another wording and answer format.

All rows of a prompt share the template, so a group stays comparable.  Source: arXiv 2602.03190;
wenquanlu/prompt-augmentation-GRPO.  The wordings are ours; names, what a template asks for and
how its format is scored are the released ones.  There the process's global random state chooses,
so the choice depends on the number of data workers; here it is a function of the prompt.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace

from agentrl.algorithms.prompts.templates import MATHEMATICS, Template
from agentrl.errors import ConfigError, unknown_name


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptAugmentation:
    """A set of templates and the rule that chooses one.

    Attributes:
        templates: drawn uniformly; their order matters to the draw.
        seed: of the run.
    """

    templates: tuple[Template, ...] = MATHEMATICS
    seed: int = 0

    def __post_init__(self) -> None:
        names = [template.name for template in self.templates]
        if not names or len(set(names)) < len(names):
            raise ConfigError(f"`templates` must be one or more of different names, not {names}.")

    def choose(self, epoch: int, prompt_id: str) -> Template:
        """Return the template of a prompt in an epoch, the same on every machine.

        Args:
            epoch: how often the prompt was drawn before; another one, another template.
            prompt_id: any text that names the prompt within the run.
        """
        key = json.dumps([self.seed, epoch, prompt_id]).encode()
        draw = int.from_bytes(hashlib.sha256(key).digest())
        return self.templates[draw % len(self.templates)]

    def system(self, text: str, *, seed: int, epoch: int, task_id: str) -> str:
        """Return a task's system text; `seed` is the run's, added to the strategy's own."""
        chosen = replace(self, seed=self.seed + seed).choose(epoch, task_id)
        return chosen.system(text)

    def get(self, name: str) -> Template:
        """Return a template by its name."""
        for template in self.templates:
            if template.name == name:
                return template
        raise unknown_name("template", name, [template.name for template in self.templates])

    def reward(self, name: str, correct: float, text: str) -> float:
        """Return a row's reward: accuracy plus the format score of its template.

        Args:
            name: of the template the row was sampled with.
            correct: 1 if the answer is right, else 0.
            text: what was sampled.
        """
        return correct + self.get(name).format_score(text)
