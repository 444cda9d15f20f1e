"""A model for tests that finds answers with tools, behind a real server."""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.engines.scripted_server import Answer, chat_answer
from tests.evaluation.question_files import write_lines

SEED = 100
TOOLS = ["search", "browse", *(["python"] if shutil.which("bwrap") else [])]
FOUND = "The answer on record is: "


class AnsweringModel:
    """Answers some samples rightly and others wrongly, always with what a tool has told it.

    The answers lie in a corpus of passages, in the pages of a site, and in programs that print
    them.  Which of a question's tools is called depends on its place in the set.

    Args:
        answers: by question.
        folder: for corpus and site.
    """

    def __init__(self, answers: Mapping[str, str], folder: Path) -> None:
        self.answers = answers
        self.numbers = {question: number for number, question in enumerate(answers)}
        self.conversations: list[tuple[int, int]] = []
        self.tools_used: set[str] = set()
        self.most = 10**6
        self.goes_on = threading.Event()
        self.corpus, self.site = folder / "passages.jsonl", folder / "site.json"
        golds = list(answers.values())
        passages = [
            {"id": f"p{number}", "contents": f'"Record r{number}x"\n{_text(golds, number)}'}
            for number in range(len(golds) + 200)
        ]
        write_lines(self.corpus, passages)
        pages = [
            {
                "url": f"archive://records/{number}.html",
                "status": 200,
                "content_type": "text/html",
                "html": f"<html><body><h1>Record</h1><p>{FOUND}{gold}</p></body></html>",
            }
            for number, gold in enumerate(golds)
        ]
        self.site.write_text(json.dumps(pages))

    def options(self) -> list[str]:
        """The options of `agentrl eval` that give it its tools."""
        search, browse = ["--search", str(self.corpus)], ["--browse", str(self.site)]
        return ["--tools", ",".join(TOOLS), *search, *browse, "--seed", str(SEED)]

    def outcome(self, number: int, sample: int) -> str:
        """Return `right`, `wrong` or `failed`."""
        if (number, sample) == (2, 1):
            return "failed"
        never = number % 5 == 4
        return "wrong" if never or (number + sample) % 3 == 0 else "right"

    def __call__(self, body: dict[str, Any]) -> Answer:
        question, _, attached = body["messages"][1]["content"].partition("\n\nThe attached file ")
        number, sample = self.numbers[question], body["seed"] - SEED
        outcome = self.outcome(number, sample)
        last = body["messages"][-1]
        if last["role"] != "tool":
            file = re.match(r"is at (.+)", attached)
            return self._call(number, file.group(1) if file else None)
        if len(self.conversations) >= self.most:
            self.goes_on.wait(60)
        self.conversations.append((number, sample))
        if outcome == "failed":
            return Answer({"error": {"message": "the model is not well"}}, status=400)
        told = last["content"].partition(FOUND)[2].partition("\n")[0].strip()
        return chat_answer(f"FINAL ANSWER: {told if outcome == 'right' else 'not known'}")

    def _call(self, number: int, file: str | None) -> Answer:
        name = "python" if file and "python" in TOOLS else TOOLS[number % len(TOOLS)]
        self.tools_used.add(name)
        gold = list(self.answers.values())[number]
        code = f"text = bytes.fromhex({gold.encode().hex()!r}).decode()\n"
        if file:
            code += f"assert open({file!r}).read()\n"
        arguments = {
            "search": {"query": f"record r{number}x"},
            "browse": {"url": f"archive://records/{number}.html"},
            "python": {"code": f"{code}print({FOUND!r} + text)"},
        }[name]
        function = {"name": name, "arguments": json.dumps(arguments)}
        return chat_answer("", tool_calls=[{"id": "c", "type": "function", "function": function}])


def _text(golds: list[str], number: int) -> str:
    return f"{FOUND}{golds[number]}" if number < len(golds) else f"Nothing is on record, {number}."
