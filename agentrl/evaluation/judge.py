"""Judges: a model says whether an answer means the same as the accepted one.

A judge's own failures are told apart from wrong answers: `Verdict.correct` is then None.  Verdicts
are kept on disk by the hash of everything that was sent, so that an evaluation can be scored again
without model and network.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agentrl.engines import SamplingParams
from agentrl.engines.openai import OpenAIClient
from agentrl.errors import ContextOverflow, EngineError
from agentrl.evaluation.judge_forms import JudgeForm


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a judge said.

    Attributes:
        correct: whether the answer is right; None where the judge failed.
        raw: its reply; empty where it was not asked.
        error: why it failed.
        grade: its own word for the verdict.
        cached: whether it had said so before.
    """

    correct: bool | None
    raw: str = ""
    error: str = ""
    grade: str = ""
    cached: bool = False


class Judge(Protocol):
    """Says whether answers are right."""

    @property
    def form(self) -> str:
        """Name of the prompt and of the way replies are read."""

    @property
    def model(self) -> str:
        """Who judges."""

    @property
    def prompt_hash(self) -> str:
        """Identifies the prompt and how it is sampled."""

    @property
    def grade_of_silence(self) -> str:
        """What it would call no answer."""

    async def grade(self, question: str, golds: Sequence[str], prediction: str) -> Verdict:
        """Judge an answer; never raises for a failure of the judge itself."""


class LLMJudge:
    """A model behind an OpenAI-compatible server, at temperature 0.

    Args:
        client: of the server; None judges from `cache` alone.
        model: as the server calls it; it belongs to the hash of what is sent.
        form: the prompt and how replies are read.
        cache: folder of verdicts; None keeps none.
        max_tokens: of a reply.
    """

    def __init__(
        self,
        client: OpenAIClient | None,
        model: str,
        form: JudgeForm,
        *,
        cache: Path | None = None,
        max_tokens: int = 2048,
    ) -> None:
        self._client, self._form, self._cache = client, form, cache
        self._params = SamplingParams(temperature=0.0, max_tokens=max_tokens)
        self.model = model
        self.form = form.name
        self.prompt_hash = form.hash
        self.grade_of_silence = form.silence

    async def grade(self, question: str, golds: Sequence[str], prediction: str) -> Verdict:
        """Judge an answer."""
        if self._form.certain(prediction, golds):
            return Verdict(correct=True, grade="equal")
        prompt = self._form.prompt(question, golds, prediction)
        kept = self._kept(prompt)
        if kept is not None:
            return self._read(kept, cached=True)
        if self._client is None:
            return Verdict(correct=None, error="the judge has not been asked this before")
        try:
            messages = [{"role": "user", "content": prompt}]
            reply = await self._client.chat(messages, self._params)
        except (EngineError, ContextOverflow) as error:
            return Verdict(correct=None, error=str(error))
        verdict = self._read(reply.text)
        if verdict.correct is not None:
            self._keep(prompt, reply.text)
        return verdict

    def _read(self, raw: str, *, cached: bool = False) -> Verdict:
        correct, grade = self._form.read(raw)
        error = "" if correct is not None else f"the reply gives no verdict: {raw[-200:]!r}"
        return Verdict(correct=correct, raw=raw, error=error, grade=grade, cached=cached)

    def _path(self, prompt: str) -> Path | None:
        if self._cache is None:
            return None
        sent = [self.model, prompt, self._params.temperature, self._params.max_tokens]
        text = json.dumps(sent, ensure_ascii=False).encode("utf-8", "surrogatepass")
        key = hashlib.sha256(text).hexdigest()
        return self._cache / key[:2] / f"{key}.json"

    def _kept(self, prompt: str) -> str | None:
        path = self._path(prompt)
        if path is None or not path.is_file():
            return None
        try:
            return str(json.loads(path.read_text(encoding="utf-8"))["reply"])
        except (ValueError, KeyError, TypeError):
            return None  # cut short; it is asked again

    def _keep(self, prompt: str, reply: str) -> None:
        if (path := self._path(prompt)) is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            data = {"model": self.model, "form": self.form, "reply": reply}
            partial = path.with_suffix(f".{os.getpid()}")
            partial.write_text(json.dumps(data, ensure_ascii=True), encoding="utf-8")
            partial.replace(path)
