"""The Java processes of this process: kept warm between episodes, never left behind.

Processes are module-level state: a worker plays one episode after another, and starting Java costs
ten times as much as loading a task.  Nothing here may be called in a process that others are forked
from.
"""

from __future__ import annotations

import atexit
import os
import threading

from agentrl.envs.scienceworld.simulator import Simulator, World

WORLDS_PER_SIMULATOR = 8
"""Most worlds in one Java process, so that they fit in its heap."""

HEAP_MIB = 128
"""Enough to play."""

GOLD_HEAP_MIB = 256
"""Enough to find gold paths."""

_lock = threading.RLock()
_simulators: list[Simulator] = []


def lease(group: str, heap_mib: int) -> World:
    """Return a world that nobody uses; give it back with `release`.

    Args:
        group: the simplifications in force; only worlds with equal ones share a process.
        heap_mib: heap that the process must at least have.
    """
    with _lock:
        _bury()
        simulator = _roomy(group, heap_mib) or _idle(heap_mib) or _started(heap_mib)
        simulator.group = group
        world = simulator.spare.pop() if simulator.spare else World(simulator)
        simulator.worlds.add(world)
        return world


def release(world: World) -> None:
    """Take a world back; of the processes without worlds one is kept."""
    with _lock:
        simulator = world.simulator
        if world in simulator.worlds:
            simulator.worlds.remove(world)
            simulator.spare.append(world)
        _bury()
        idle = [other for other in _simulators if not other.worlds]
        for other in idle[:-1]:
            other.process.kill()
            _simulators.remove(other)


def start() -> None:
    """Start a process now, so that the first episode need not wait for it."""
    release(lease("", HEAP_MIB))


def processes() -> list[int]:
    """Return the process ids of the Java processes that run."""
    with _lock:
        _bury()
        return [simulator.process.pid for simulator in _simulators]


def shut_down() -> None:
    """End all Java processes."""
    with _lock:
        for simulator in _simulators:
            simulator.process.kill()
        _simulators.clear()


def _roomy(group: str, heap_mib: int) -> Simulator | None:
    """Return a process in use with the same simplifications and room for one more world."""
    for simulator in _simulators:
        fits = simulator.group == group and simulator.process.heap_mib >= heap_mib
        if fits and 0 < len(simulator.worlds) < WORLDS_PER_SIMULATOR:
            return simulator
    return None


def _idle(heap_mib: int) -> Simulator | None:
    """Return a process without worlds that is large enough; end those that are too small."""
    for simulator in [other for other in _simulators if not other.worlds]:
        if simulator.process.heap_mib >= heap_mib:
            return simulator
        simulator.process.kill()
        _simulators.remove(simulator)
    return None


def _started(heap_mib: int) -> Simulator:
    simulator = Simulator(heap_mib)
    _simulators.append(simulator)
    return simulator


def _bury() -> None:
    """Forget the processes that died."""
    _simulators[:] = [simulator for simulator in _simulators if simulator.alive]


def _after_fork() -> None:
    """A forked process has none of the Java processes of the one it was forked from."""
    global _lock
    _lock = threading.RLock()
    for simulator in _simulators:
        simulator.process.disown()
    _simulators.clear()


atexit.register(shut_down)
os.register_at_fork(after_in_child=_after_fork)
