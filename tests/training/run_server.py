"""Starts training processes quickly: imports everything once and forks one process per run.

Each line on standard input is `{"arguments": [...], "output": path, "kill": [place, count],
"mark": text}`; the answers are `{"pid": ...}` and, at its end, `{"status": ...}`.  With `kill` the
process kills itself with SIGKILL just before the count-th call of `module:attribute`, which is
how a test meets a moment that lasts a millisecond.  `mark` goes into the environment of all
processes that the run starts.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from typing import Any

import agentrl.training.trainer
from agentrl.algorithms import names
from agentrl.cli import main


def die_before_call(place: str, count: int) -> None:
    module_name, _, path = place.partition(":")
    owner: Any = importlib.import_module(module_name)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    original, calls = getattr(owner, name), 0

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **kwargs)

    setattr(owner, name, counted)


def run(request: dict[str, Any]) -> int:
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    with open(request["output"], "ab") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os.environ["AGENTRL_TEST_MARK"] = request["mark"]
    if request["kill"]:
        die_before_call(*request["kill"])
    return main(request["arguments"])


def serve() -> None:
    assert agentrl.training.trainer and names()  # which imports every method
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                status = run(request)
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        print(json.dumps({"pid": pid}), flush=True)
        _, status = os.waitpid(pid, 0)
        print(json.dumps({"status": os.waitstatus_to_exitcode(status)}), flush=True)


if __name__ == "__main__":
    serve()
