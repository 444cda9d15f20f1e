"""The tool `python`: runs code the model wrote."""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from agentrl.errors import ConfigError
from agentrl.tools.base import JSON, ToolContext, ToolError, ToolErrorKind, ToolResult
from agentrl.tools.python.interpreter import SandboxFailed
from agentrl.tools.python.limits import Limits
from agentrl.tools.python.outcome import Outcome, Status
from agentrl.tools.python.profile import Level
from agentrl.tools.python.sandbox import SLOTS, WAIT, Sandbox, Session
from agentrl.tools.python.slots import SandboxBusy

FILE = "file"
"""Option of a task: a file that belongs to its question."""
EPISODES = 1024
"""Whose code is remembered."""
UNAVAILABLE = "The Python interpreter is not available at the moment."
ERRORS = {
    Status.TIMEOUT: ToolErrorKind.TIMEOUT,
    Status.PROCESSOR_TIME: ToolErrorKind.TIMEOUT,
    Status.FLOOD: ToolErrorKind.FAILED,
    Status.CRASHED: ToolErrorKind.FAILED,
}
"""An exception is none: its traceback is a result like any other."""


@dataclass(slots=True)
class _Episode:
    """An episode with an interpreter of its own.

    Attributes:
        code: that has been run.
        session: None while its interpreter had to make room.
        lock: held while code runs.
    """

    code: tuple[str, ...] = ()
    session: Session | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class PythonTool:
    """Runs code in a sandbox and answers with what it printed.

    The file a task names in its option `file` can be read there under the same path.

    Args:
        name: of the tool.
        level: how strongly code is contained; see `Sandbox`.
        limits: what a call may use.
        slots: calls and sessions at a time on this machine; see `Sandbox`.
        persistent: keep an interpreter per episode, so that variables stay from call to call.
        sessions: of how many episodes at a time: as many as run at once in this process. The one
            unused for longest makes room; should its episode go on, its code is run again first.
        print_last: print the value of a last line that is a bare expression, as ARPO does.
        python: interpreter; by default the one running AgentRL.
        packages: folders of packages code may import; by default those AgentRL runs with.

    Raises:
        ConfigError: the level does not hold on this machine, or an argument is wrong.
    """

    parameters: Mapping[str, JSON] = {
        "type": "object",
        "properties": {"code": {"type": "string", "description": "Python source to run."}},
        "required": ["code"],
        "additionalProperties": False,
    }

    def __init__(
        self,
        *,
        name: str = "python",
        level: str = Level.BWRAP,
        limits: Limits | None = None,
        slots: int = SLOTS,
        persistent: bool = False,
        sessions: int = 1,
        print_last: bool = False,
        python: str | None = None,
        packages: Sequence[str] | None = None,
    ) -> None:
        if sessions < 1:
            raise ConfigError(f"`sessions` is {sessions}; 1 is the least.")
        self.name = name
        self._sandbox = Sandbox(level, limits=limits, slots=slots, python=python, packages=packages)
        self._persistent, self._print_last, self._most = persistent, print_last, sessions
        self._episodes: OrderedDict[str, _Episode] = OrderedDict()
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="sandbox")

    @property
    def description(self) -> str:
        """What it does, for the model."""
        kept = "Variables stay" if self._persistent else "Nothing is kept"
        return (
            f"Run Python code and return what it prints. {kept} from one call to the next. There "
            f"is no network, and a call is stopped after {self._sandbox.limits.wall:g} seconds."
        )

    @property
    def timeout(self) -> float:
        """Seconds a call may take: waiting for a slot, starting, running."""
        limits = self._sandbox.limits
        return WAIT + limits.start + limits.wall + 10

    async def call(self, arguments: Mapping[str, JSON], context: ToolContext) -> ToolResult:
        """Run `code`."""
        code = str(arguments["code"])
        try:
            if self._persistent:
                outcome = await self._run_in_session(context, code)
            else:
                run = partial(self._sandbox.run, files=_files(context))
                outcome = await self._in_thread(run, code)
        except (SandboxBusy, SandboxFailed) as error:
            raise ToolError(UNAVAILABLE, ToolErrorKind.UNAVAILABLE) from error
        return ToolResult(
            text=outcome.text(self._sandbox.limits),
            error=ERRORS.get(outcome.status),
            seconds=outcome.seconds,
            metadata={"status": str(outcome.status)},
        )

    def fork(self, source: str, target: str) -> None:
        """Let one episode have the variables of another: it runs the same code when it goes on."""
        self._episode(target).code = self._episode(source).code

    async def close(self) -> None:
        """Kill all interpreters; calls that still run end at their limit."""
        await self._leave_open(0)
        await asyncio.to_thread(self._threads.shutdown)

    async def _run_in_session(self, context: ToolContext, code: str) -> Outcome:
        episode = self._episode(context.episode)
        async with episode.lock:  # calls of one turn come at once; their order counts
            if episode.session is None:
                await self._leave_open(self._most - 1)
                episode.session = self._sandbox.session(files=_files(context))
                for earlier in episode.code:
                    await self._in_thread(episode.session.run, earlier)
            outcome = await self._in_thread(episode.session.run, code)
            episode.code = () if outcome.forgotten else (*episode.code, code)
            return outcome

    def _episode(self, name: str) -> _Episode:
        episode = self._episodes.setdefault(name, _Episode())
        self._episodes.move_to_end(name)
        closed = [other for other, kept in self._episodes.items() if kept.session is None]
        if len(closed) > EPISODES:
            del self._episodes[closed[0]]
        return episode

    async def _leave_open(self, most: int) -> None:
        """Close the sessions unused for longest."""
        while len(opened := [each for each in self._episodes.values() if each.session]) > most:
            async with opened[0].lock:
                if opened[0].session is not None:
                    await asyncio.to_thread(opened[0].session.close)
                    opened[0].session = None

    async def _in_thread(self, run: Callable[..., Outcome], code: str) -> Outcome:
        work = partial(run, code, print_last=self._print_last)
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _files(context: ToolContext) -> tuple[str, ...]:
    """Return the file of a task, if it has one."""
    file = str(context.options.get(FILE) or "")
    return (file,) if file and os.path.isfile(file) else ()
