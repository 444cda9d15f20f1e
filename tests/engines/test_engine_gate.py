"""While weights change, running requests end first and others wait."""

from __future__ import annotations

import asyncio

import pytest
from engine_samples import run

from agentrl.engines.gate import Gate
from agentrl.errors import EngineError


async def hold(gate, log, name, until):
    async with gate.request():
        log.append(f"{name} begins")
        await until.wait()
        log.append(f"{name} ends")


async def update(gate, log, *, in_flight=False):
    async with gate.update(in_flight=in_flight):
        log.append("update")
        await asyncio.sleep(0)
        log.append("updated")


@pytest.mark.parametrize("in_flight", [False, True])
def test_an_update_waits_for_what_runs_unless_in_flight_and_lets_nothing_in(in_flight):
    async def main():
        gate, log, until = Gate(), [], asyncio.Event()
        first = asyncio.create_task(hold(gate, log, "first", until))
        await asyncio.sleep(0)
        change = asyncio.create_task(update(gate, log, in_flight=in_flight))
        await asyncio.sleep(0)
        late = asyncio.create_task(hold(gate, log, "late", until))
        await asyncio.sleep(0)
        assert in_flight or gate.running == 1
        until.set()
        await asyncio.gather(first, change, late)
        return log

    log = run(main())
    assert log.index("late begins") > log.index("updated")
    assert (log.index("update") > log.index("first ends")) == (not in_flight)


def test_updates_come_one_after_the_other():
    async def main():
        gate, log = Gate(), []
        await asyncio.gather(update(gate, log), update(gate, log))
        return log

    assert run(main()) == ["update", "updated"] * 2


def test_a_request_that_never_ends_stops_an_update_with_a_reason_and_nothing_else():
    async def main():
        gate, log, until = Gate(timeout=0.05), [], asyncio.Event()
        stuck = asyncio.create_task(hold(gate, log, "stuck", until))
        await asyncio.sleep(0)
        with pytest.raises(EngineError, match="1 requests were still running"):
            await update(gate, log)
        until.set()
        await hold(gate, log, "next", until)
        await stuck
        return log

    assert "next ends" in run(main())


def test_a_cancelled_request_is_not_waited_for():
    async def main():
        gate, log = Gate(), []
        doomed = asyncio.create_task(hold(gate, log, "doomed", asyncio.Event()))
        await asyncio.sleep(0)
        change = asyncio.create_task(update(gate, log))
        await asyncio.sleep(0)
        doomed.cancel()
        await change
        assert gate.running == 0

    run(main())
