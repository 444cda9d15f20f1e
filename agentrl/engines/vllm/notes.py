"""Fetches what vLLM's workers noted of ended requests, many at a time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from agentrl.engines.vllm.backend import Backend
from agentrl.errors import EngineError


@dataclass(frozen=True, slots=True)
class Note:
    """Of one completion, per token.

    Attributes:
        entropies: in nats.
        versions: of the weights that it was sampled with.
    """

    entropies: list[float]
    versions: list[int]


class Notes:
    """Asks the workers between two forward passes; while one question is out, others gather."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._wanted: dict[str, asyncio.Future[Note]] = {}
        self._dropped: list[str] = []
        self._task: asyncio.Task[None] | None = None

    async def take(self, tag: str) -> Note:
        """Return what was noted of an ended request, and let the workers forget it.

        Raises:
            EngineError: vLLM has failed.
        """
        future: asyncio.Future[Note] = asyncio.get_running_loop().create_future()
        self._wanted[tag] = future
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._fetch(), name="notes of vLLM")
        return await future

    def drop(self, tag: str) -> None:
        """Let the workers forget a cancelled request, with the next question."""
        self._wanted.pop(tag, None)
        self._dropped.append(tag)

    async def _fetch(self) -> None:
        await asyncio.sleep(0)  # requests that end together are asked for together
        while self._wanted:
            wanted, self._wanted = self._wanted, {}
            dropped, self._dropped = self._dropped, []
            try:
                answers = await self._backend.call("agentrl_take", [*wanted, *dropped])
            except BaseException as error:
                failure = error if isinstance(error, EngineError) else EngineError(str(error))
                for future in wanted.values():
                    if not future.done():
                        future.set_exception(failure)
                if not isinstance(error, Exception):
                    raise
                continue
            for tag, future in wanted.items():
                if not future.done():
                    future.set_result(_note(answers, tag))


def _note(answers: list[dict[str, dict[str, list[float]]]], tag: str) -> Note:
    """Return the note of the first worker that has one: only those that sample do."""
    found = [answer[tag] for answer in answers if answer[tag]["entropies"]]
    note = found[0] if found else {"entropies": [], "versions": []}
    return Note(note["entropies"], [int(version) for version in note["versions"]])
