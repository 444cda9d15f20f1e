"""The same panels and episodes in another process, with other string hashes.

`python -m agentrl.envs.conformance.elsewhere` reads a job from its standard input, and prints the
result as the last line of its output.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agentrl.envs.conformance.episode import Turn, replayed
from agentrl.envs.conformance.results import Violation
from agentrl.envs.conformance.subject import Subject

_SPLITS = ("train", "heldout")


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What another process made of it.

    Attributes:
        panel_hashes: hash of each panel.
        episodes: the turns of each episode asked for.
    """

    panel_hashes: dict[str, str]
    episodes: list[list[Turn]]


def in_another_process(subject: Subject, plays: Sequence[tuple[int, list[str]]]) -> Elsewhere:
    """Return the panels' hashes, or episodes, as another process sees them.

    Args:
        subject: the environment under test.
        plays: for each episode the number of the task in `subject.tasks`, and its actions;
            without any, panels are made instead.
    """
    call = "the same in another process"
    subject.notify(call)
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    job = {"subject": subject.to_json(), "plays": list(plays), "path": sys.path}
    limit = 0.9 * subject.limits.call_seconds
    try:
        done = subprocess.run(
            [sys.executable, "-m", "agentrl.envs.conformance.elsewhere"],
            input=json.dumps(job),
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Violation(
            f"Panels or episodes took longer than {limit:g} s in another process.",
            "make what is slow in `prepare`, and keep it in files",
        ) from error
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise Violation(
            f"Panels or episodes that can be made here fail in another process: "
            f"{lines[-1] if lines else 'it died'}",
            "rely on nothing that only this process has",
        )
    found = json.loads(done.stdout.splitlines()[-1])
    return Elsewhere(found["hashes"], [[Turn(*t) for t in turns] for turns in found["episodes"]])


def main() -> None:
    """Do the job on standard input."""
    job: dict[str, Any] = json.loads(sys.stdin.read())
    sys.path[:] = job["path"]
    subject = Subject.from_json(job["subject"], notify=lambda doing: None)
    splits = () if job["plays"] else _SPLITS
    try:
        hashes = {split: subject.panel(split).hash for split in splits}
        episodes = [replayed(subject, subject.tasks[i], actions) for i, actions in job["plays"]]
    except Violation as error:
        sys.exit(error.problem)
    print("\n" + json.dumps({"hashes": hashes, "episodes": episodes}))


if __name__ == "__main__":
    main()
