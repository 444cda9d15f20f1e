"""`agentrl serve-search`, as a user starts it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as place:
        return int(place.getsockname()[1])


def test_a_corpus_is_served_until_interrupted(tmp_path: Path) -> None:
    corpus, port = tmp_path / "corpus.jsonl", free_port()
    corpus.write_text(json.dumps({"id": "a", "contents": '"A"\nalpha beta'}) + "\n")
    command = [sys.executable, "-m", "agentrl", "serve-search", str(corpus), "--port", str(port)]
    command += ["--index", str(tmp_path / "index"), "--topk", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        assert process.stdout is not None
        assert f"http://127.0.0.1:{port}/retrieve" in process.stdout.readline()
        assert answer(port) == [[{"id": "a", "contents": '"A"\nalpha beta'}]]
        process.send_signal(signal.SIGINT)
        assert process.wait(30) in (0, 130)
    assert (tmp_path / "index" / "bm25.json").is_file()


def answer(port: int) -> object:
    deadline = time.monotonic() + 60
    while True:
        try:
            body = {"queries": ["beta"]}
            response = httpx.post(f"http://127.0.0.1:{port}/retrieve", json=body, trust_env=False)
            return response.json()["result"]
        except httpx.ConnectError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["none.jsonl"], "nothing to search in"),
        (["http://127.0.0.1:1", "--topk", "0"], "`--topk` is 0"),
        (["http://127.0.0.1:1", "--port", "70000"], "The port is 70000"),
        (["serper"], "set SERPER_API_KEY"),
    ],
)
def test_mistakes_are_one_clear_line(run_agentrl, monkeypatch, arguments, problem) -> None:
    monkeypatch.delenv("SERPER_API_KEY", raising=False)
    status, _, error = run_agentrl("serve-search", *arguments)
    assert status == 2 and problem in error and error.count("\n") == 1
