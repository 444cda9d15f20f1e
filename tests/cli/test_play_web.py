"""`agentrl play WebShop --web`: the shop in a browser."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.parse
import urllib.request
from pathlib import Path

GENERATED = ["catalogue=generated", "style=tiny"]
MAIN = """
import signal, sys
from agentrl.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
sys.exit(main())
"""
PLAY = [sys.executable, "-c", MAIN, "play", "WebShop", "--web", "0", "--panel", *GENERATED]


def fetch(address: str, form: dict[str, str] | None = None) -> str:
    data = urllib.parse.urlencode(form).encode() if form else None
    with urllib.request.urlopen(address, data, timeout=30) as answer:
        return str(answer.read().decode())


def test_the_shop_can_be_visited_in_a_browser(tmp_path: Path):
    environment = {**os.environ, "AGENTRL_CACHE": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(PLAY, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            address = next(line.strip() for line in process.stdout if line.startswith("http"))
            assert "What the agent reads" in fetch(address)
            assert "Page 1 (Total results" in fetch(address, {"query": "lamp"})
            assert "not accepted" in fetch(address, {"action": "click[nothing]"})
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        finally:
            process.kill()


def test_only_the_shop_has_a_page(run_agentrl):
    status, _, error = run_agentrl("play", "TextWorld", "--web")
    assert status == 2 and "agentrl/WebShop-v0 only" in error


def test_a_port_in_use_is_one_clear_error(run_agentrl):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        status, _, error = run_agentrl("play", "WebShop", "--web", port, "--panel", *GENERATED)
    assert status == 2 and f"Port {port} cannot be used" in error
