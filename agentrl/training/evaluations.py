"""The evaluations of a run: before, during and after training."""

from __future__ import annotations

from agentrl import assembly
from agentrl.config import RunConfig
from agentrl.engines.base import Engine
from agentrl.evaluation.panel import score_panel
from agentrl.rollout.prompting import Prompting
from agentrl.rollout.scheduler import RolloutScheduler
from agentrl.training.run_directory import RunDirectory

Scores = dict[str, dict[int, float]]
"""Success by panel and step."""


class Evaluations:
    """Scores the policy on both panels; the full scores go to `eval/`.

    Args:
        config: the whole configuration.
        panels: what is played.
        engine: samples the policy's turns.
        scheduler: plays the episodes.
        files: the run directory.
        prompting: varies the system text from task to task; None leaves it.

    Attributes:
        success: what was measured so far; part of a checkpoint.
    """

    def __init__(
        self,
        config: RunConfig,
        panels: assembly.Panels,
        engine: Engine,
        scheduler: RolloutScheduler,
        files: RunDirectory,
        prompting: Prompting | None = None,
    ) -> None:
        self.success: Scores = {"train": {}, "heldout": {}}
        self._config = config
        self._panels = {"train": panels.train, "heldout": panels.heldout}
        self._engine = engine
        self._scheduler = scheduler
        self._files = files
        self._prompting = prompting

    def due(self, step: int) -> bool:
        """Return True if the policy is to be scored after this step."""
        every = self._config.evaluation.every
        return self._whole(step) or bool(every and step % every == 0)

    async def run(self, step: int) -> dict[str, float]:
        """Score the policy after `step` and return metrics.

        The first and the last evaluation take whole panels, those between their first tasks.
        """
        settings = self._config.evaluation
        limit = 0 if self._whole(step) else settings.tasks_during_training
        values: dict[str, float] = {}
        for split, panel in self._panels.items():
            part = panel[:limit] if limit else panel
            if not part:
                continue
            # Nothing cached by an earlier phase may matter: a resumed run does not have it.
            await self._engine.update_weights(None, self._engine.version)
            score = await score_panel(
                self._scheduler,
                assembly.evaluation_policy(
                    self._config, self._engine, self._scheduler.settings, split
                ),
                part,
                episodes_per_task=settings.episodes_per_task,
                path=self._files.evaluation(step, split),
                prompting=self._prompting,
            )
            values[f"eval/{split}_success"] = score.success
            values[f"eval/{split}_score"] = score.score
            values[f"eval/{split}_failed"] = float(sum(score.failed.values()))
            self.success[split][step] = score.success
        return values

    def _whole(self, step: int) -> bool:
        return step in (0, self._config.steps)
