"""The tool `python`: runs code the model wrote."""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

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
"""Whose interpreters were closed, that are remembered."""
UNAVAILABLE = "The Python interpreter is not available at the moment."
ERRORS = {
    Status.TIMEOUT: ToolErrorKind.TIMEOUT,
    Status.PROCESSOR_TIME: ToolErrorKind.TIMEOUT,
    Status.FLOOD: ToolErrorKind.FAILED,
    Status.CRASHED: ToolErrorKind.FAILED,
}
"""An exception is none: its traceback is a result like any other."""


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
            unused for longest makes room, and its episode is told so.
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
        self.name = name
        self._sandbox = Sandbox(level, limits=limits, slots=slots, python=python, packages=packages)
        self._persistent, self._print_last, self._most = persistent, print_last, sessions
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._closed: OrderedDict[str, None] = OrderedDict()  # episodes whose variables are gone
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="sandbox")

    @property
    def stateful(self) -> bool:
        """Whether an episode depends on its earlier calls; its interpreter cannot be copied."""
        return self._persistent

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

    async def close(self) -> None:
        """Kill all interpreters; calls that still run end at their limit."""
        while self._sessions:
            await self._close_oldest()
        await asyncio.to_thread(self._threads.shutdown)

    async def _run_in_session(self, context: ToolContext, code: str) -> Outcome:
        episode = context.episode
        while episode not in self._sessions and len(self._sessions) >= self._most:
            await self._close_oldest()
        if episode not in self._sessions:
            self._sessions[episode] = self._sandbox.session(files=_files(context))
        session = self._sessions[episode]
        self._sessions.move_to_end(episode)
        outcome = await self._in_thread(session.run, code)
        if episode in self._closed:
            del self._closed[episode]
            outcome = replace(outcome, forgotten=True)
        return outcome

    async def _close_oldest(self) -> None:
        episode, session = self._sessions.popitem(last=False)
        self._closed[episode] = None
        if len(self._closed) > EPISODES:
            self._closed.popitem(last=False)
        await asyncio.get_running_loop().run_in_executor(self._threads, session.close)

    async def _in_thread(self, run: Callable[..., Outcome], code: str) -> Outcome:
        work = partial(run, code, print_last=self._print_last)
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _files(context: ToolContext) -> tuple[str, ...]:
    """Return the file of a task, if it has one."""
    file = str(context.options.get(FILE) or "")
    return (file,) if file and os.path.isfile(file) else ()
