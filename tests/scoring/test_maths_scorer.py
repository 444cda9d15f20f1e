"""Mathematics is judged in processes that can be killed, from any thread, and none stays behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agentrl.errors import ConfigError, DataError, EnvironmentFailure
from agentrl.scoring.maths import LONGEST, MathsScorer, Reason

ENDLESS = "\\boxed{9^{9^{9^9}}}"


@pytest.fixture(scope="module")
def scorer():
    with MathsScorer(workers=2, seconds=5) as scorer:
        yield scorer


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition) -> bool:
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


@pytest.mark.parametrize(
    ("gold", "prediction", "reason"),
    [
        ("5", "so \\boxed{ 5 }", Reason.EQUAL),
        ("\\frac{1}{2}", "\\boxed{0.5}", Reason.VERIFIED),
        ("\\frac{1}{2}", "\\boxed{\\frac12}", Reason.VERIFIED),
        ("5", "\\boxed{6} then \\boxed{5.0}", Reason.VERIFIED),
        ("5", "\\boxed{5.0} then \\boxed{6}", Reason.DIFFERENT),
        ("70", "We have 68+2=70", Reason.NO_ANSWER),
        ("70", "\\boxed{70", Reason.NO_ANSWER),
        ("70", "\\boxed{ }", Reason.NO_ANSWER),
        ("70", "\\boxed{" + "1+" * LONGEST + "1}", Reason.UNREADABLE),
        ("1" * LONGEST + "1", "\\boxed{1}", Reason.UNREADABLE_GOLD),
    ],
)
def test_the_last_box_is_judged(scorer, gold, prediction, reason):
    verdict = scorer.score(gold, prediction)
    assert verdict.reason is reason
    assert verdict.correct == (reason in (Reason.EQUAL, Reason.VERIFIED))


def test_other_readings_find_answers_elsewhere():
    with MathsScorer(reading="boxed_or_number", workers=1) as scorer:
        assert scorer.score("70", "it is 70.").correct
        assert scorer.score("70", "\\boxed{71}, not 70").correct is False
        assert scorer.score("70", "none").reason is Reason.NO_ANSWER
    with MathsScorer(reading="whole", workers=1) as scorer:
        assert scorer.score("\\frac{1}{2}", "0.5").correct
    with MathsScorer(reading="verl", workers=1, seconds=10) as scorer:
        assert scorer.score("70", "We have 68+2=70").correct


def test_a_gold_that_verifies_against_itself_is_accepted_and_no_other(scorer):
    scorer.check_gold("\\left( 3, \\frac{\\pi}{2} \\right)")
    with pytest.raises(DataError, match="does not verify against itself"):
        scorer.check_gold("")


def test_equal_strings_start_no_process():
    with MathsScorer() as scorer:
        assert scorer.score("x", "\\boxed{x}").correct
        assert scorer._pool.pids == []


def test_an_endless_comparison_is_killed_and_its_process_replaced():
    with MathsScorer(workers=1, seconds=0.5) as scorer:
        assert scorer.score("5", "\\boxed{5.0}").correct
        [first] = scorer._pool.pids
        assert scorer.score("5", ENDLESS).reason is Reason.TIMEOUT
        assert not is_running(first)
        assert scorer.score("5", "\\boxed{5.0}").correct


def test_a_process_that_died_meanwhile_costs_no_answer():
    with MathsScorer(workers=1, seconds=5) as scorer:
        scorer.score("5", "\\boxed{5.0}")
        [pid] = scorer._pool.pids
        os.kill(pid, signal.SIGKILL)
        assert scorer.score("5", "\\boxed{5.0}").correct


def test_an_answer_that_kills_two_processes_is_wrong():
    with MathsScorer(workers=1, seconds=60) as scorer, ThreadPoolExecutor(1) as threads:
        future = threads.submit(scorer.score, "5", ENDLESS)
        killed: set[int] = set()
        while not future.done():
            for worker in list(scorer._pool._alive):
                if worker.tasks:
                    killed.add(worker.pid)
                    worker.kill()
            time.sleep(0.02)
        assert future.result().reason is Reason.CRASHED
        assert len(killed) == 2
        assert scorer.score("5", "\\boxed{5.0}").correct


def test_a_process_is_replaced_after_its_tasks():
    with MathsScorer(workers=1, tasks_per_worker=2) as scorer:
        pids = []
        for _ in range(3):
            assert scorer.score("5", "\\boxed{5.0}").correct
            pids.append(tuple(scorer._pool.pids))
        assert pids[1] == ()
        assert pids[0] != pids[2]
        assert not is_running(pids[0][0])


@pytest.mark.slow
def test_a_thousand_calls_from_threads_are_judged_as_from_the_main_one(scorer):
    cases = [(str(n), f"\\boxed{{{n + n % 3}.0}}") for n in range(1000)]
    with ThreadPoolExecutor(16) as threads:
        verdicts = list(threads.map(lambda case: scorer.score(*case), cases))
    assert [verdict.correct for verdict in verdicts] == [n % 3 == 0 for n in range(1000)]
    assert len(scorer._pool.pids) <= 2
    assert verdicts[:20] == [scorer.score(*case) for case in cases[:20]]


def test_asyncio_waits_in_threads(scorer):
    async def judge() -> list[bool]:
        calls = [asyncio.to_thread(scorer.score, "5", f"\\boxed{{{n}.0}}") for n in range(4, 7)]
        return [verdict.correct for verdict in await asyncio.gather(*calls)]

    assert asyncio.run(judge()) == [False, True, False]


def test_a_closed_scorer_says_so_and_calls_under_way_fail():
    with MathsScorer(workers=1, seconds=60) as scorer, ThreadPoolExecutor(1) as threads:
        future = threads.submit(scorer.score, "5", ENDLESS)
        assert wait_until(lambda: scorer._pool.pids)
        scorer.close()
        with pytest.raises(EnvironmentFailure, match="closed"):
            future.result(timeout=60)
        with pytest.raises(EnvironmentFailure, match="closed"):
            scorer.score("5", "\\boxed{5.0}")
        assert scorer._pool.pids == []


SCRIPT = """
import os, signal, sys, threading, time
from agentrl.scoring.maths import MathsScorer

scorer = MathsScorer(workers=1, seconds=1)
scorer.score("5", "\\\\boxed{5.0}")
print(*scorer._pool.pids, flush=True)
if sys.argv[1] == "killed":
    threading.Thread(target=scorer.score, args=("5", "\\\\boxed{9^{9^{9^9}}}")).start()
    time.sleep(0.3)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("end", ["finished", "killed"])
def test_no_process_outlives_the_one_that_started_it(end):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, end], capture_output=True, text=True, timeout=120
    )
    assert done.stderr == ""
    pid = int(done.stdout)
    assert wait_until(lambda: not is_running(pid))


def test_no_thread_is_left_by_a_call(scorer):
    before = threading.active_count()
    scorer.score("5", "\\boxed{5.0}")
    assert threading.active_count() == before


@pytest.mark.parametrize(
    "arguments",
    [{"reading": "aloud"}, {"workers": 0}, {"seconds": 0.0}, {"tasks_per_worker": 0}],
)
def test_arguments_out_of_range_are_refused(arguments):
    with pytest.raises(ConfigError, match=next(iter(arguments))):
        MathsScorer(**arguments)
