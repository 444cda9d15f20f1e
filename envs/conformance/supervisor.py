"""Runs checks in a process of their own, so that no environment can take the checker with it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import IO, Any

from agentrl.envs.conformance.catalogue import Check, chosen
from agentrl.envs.conformance.results import Report, Result
from agentrl.envs.conformance.subject import Subject

_START_SECONDS = 60.0


def check_environment(
    subject: Subject,
    only: Iterable[str] = (),
    on_result: Callable[[Result], None] = lambda result: None,
) -> Report:
    """Run the conformance suite over an environment.

    Checks run in another process.  A call to the environment that takes longer than
    `subject.limits.call_seconds`, or that ends the process, is the result of its check; the next
    check gets a new process.

    Args:
        subject: the environment.
        only: names of checks; those they need run as well.
        on_result: called with every result as it comes.

    Raises:
        UnknownNameError: there is no check of that name.
    """
    pending = chosen(only)
    results: list[Result] = []
    while pending:
        for result in _run(subject, pending):
            results.append(result)
            on_result(result)
            check, *pending = pending
            if result.status == "fail" and check.needed:
                for other in pending:
                    note = f"not run, because `{check.name}` failed"
                    skipped = Result(check=other.name, status="skip", note=note, blocked=True)
                    results.append(skipped)
                    on_result(skipped)
                return Report(subject.env_id, results)
    return Report(subject.env_id, results)


def _run(subject: Subject, checks: list[Check]) -> Iterator[Result]:
    """Yield results in order until a check ends the process; that check's failure is the last."""
    with tempfile.TemporaryFile() as output:
        process, reports = _start(subject, checks, output)
        try:
            start, doing = time.perf_counter(), "its start"
            for message in _messages(process, reports, subject.limits.call_seconds):
                if "doing" in message:
                    doing = message["doing"]
                elif "result" in message:
                    start = time.perf_counter()
                    yield Result(**message["result"])
                    checks = checks[1:]
                else:
                    note = f"{doing}: {message['failure']}{_last_words(output)}"
                    seconds = time.perf_counter() - start
                    fix = "answer within the deadline, and never end the process"
                    yield Result(
                        check=checks[0].name, status="fail", note=note, fix=fix, seconds=seconds
                    )
        finally:
            _kill(process)
            os.close(reports)


def _start(
    subject: Subject, checks: list[Check], output: IO[bytes]
) -> tuple[subprocess.Popen[bytes], int]:
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "agentrl.envs.conformance", str(writer)],
        pass_fds=(writer,),
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )
    os.close(writer)
    names = [check.name for check in checks]
    job = {"subject": subject.to_json(), "checks": names, "path": sys.path}
    assert process.stdin is not None
    with suppress(BrokenPipeError), process.stdin:
        process.stdin.write(json.dumps(job).encode())
    return process, reader


def _messages(
    process: subprocess.Popen[bytes], reports: int, call_seconds: float
) -> Iterator[dict[str, Any]]:
    """Yield what the process reports, and `{"failure": text}` if it hangs or dies."""
    buffer, limit, results = b"", _START_SECONDS, 0
    while True:
        if not select.select([reports], [], [], limit)[0]:
            yield {"failure": f"no answer within {limit:g} s"}
            return
        data = os.read(reports, 1 << 16)
        if not data:
            break
        limit = call_seconds
        *lines, buffer = (buffer + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            results += "result" in message
            yield message
    with suppress(subprocess.TimeoutExpired):
        process.wait(call_seconds)
    if process.returncode:
        yield {"failure": f"the process {_ending(process.returncode)}"}


def _ending(code: int) -> str:
    if code < 0:
        return f"was killed by signal {-code} ({signal.Signals(-code).name})"
    return f"exited with code {code}"


def _last_words(output: IO[bytes]) -> str:
    """Return the last line that the process printed, if any."""
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - 2000))
    lines = output.read().decode(errors="replace").strip().splitlines()
    return f"; its last output was {lines[-1][:200]!r}" if lines else ""


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and all that it has started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
