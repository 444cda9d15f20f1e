"""The process in which checks run: `python -m agentrl.envs.conformance FD`.

The job comes as JSON on standard input.  Every line written to FD is a JSON object:
`{"doing": ...}` before each call to the environment, and `{"result": ...}` after each check.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from typing import Any

from agentrl.envs.conformance.catalogue import CHECKS
from agentrl.envs.conformance.subject import Subject


class _Reporter:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __call__(self, message: dict[str, Any]) -> None:
        data = json.dumps(message).encode() + b"\n"
        while data:
            data = data[os.write(self._descriptor, data) :]


def main() -> None:
    """Run the checks of the job."""
    report = _Reporter(int(sys.argv[1]))
    job = json.loads(sys.stdin.read())
    sys.path[:] = job["path"]
    subject = Subject.from_json(job["subject"], notify=lambda doing: report({"doing": doing}))
    checks = {check.name: check for check in CHECKS}
    for name in job["checks"]:
        report({"doing": f"the check {name!r}"})
        report({"result": asdict(checks[name].run(subject))})
    os._exit(0)  # whatever threads or handlers the environment left behind do not matter here


if __name__ == "__main__":
    main()
