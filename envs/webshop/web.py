"""The shop in a browser: what can be done on the left, what the agent reads on the right.

One session on a local address; nothing but the standard library.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import Any
from urllib.parse import parse_qs

from agentrl.envs.base import Info
from agentrl.envs.webshop.env import WebShopEnv
from agentrl.types import Task

LONGEST_FORM = 100_000
SOCKET_SECONDS = 30.0
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'"

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 0; color: #222; background: #f4f4f2 }
header { background: #22303c; color: #fff; padding: 12px 24px }
header b { font-weight: 600 } header span { opacity: .75; display: block }
main { display: grid; grid-template-columns: 1fr 1fr; gap: 24px; padding: 24px }
section { background: #fff; border: 1px solid #ddd; border-radius: 6px; padding: 16px }
h2 { font-size: 13px; letter-spacing: .05em; color: #777; margin: 0 0 12px;
  text-transform: uppercase }
button { font: inherit; margin: 0 6px 6px 0; padding: 4px 10px; border: 1px solid #bbb;
  border-radius: 4px; background: #fafafa; cursor: pointer }
button:hover { background: #e8eef3 } input { font: inherit; padding: 4px 8px; width: 70% }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 13px; margin: 0 }
.bad { color: #a33 } form { margin: 0 } form.search { margin-bottom: 12px }
"""


class Visit:
    """One episode, played through the browser.

    Args:
        task: what is to be bought.
    """

    def __init__(self, task: Task) -> None:
        self._env, self._task = WebShopEnv(), task
        self.restart()

    def restart(self) -> None:
        """Begin anew."""
        options = dict(self._task.options)
        self._text, self._info = self._env.reset(seed=self._task.seed, options=options)
        self._total, self._ended = 0.0, False

    def act(self, action: str) -> None:
        """Take a step, unless the episode is over."""
        if not self._ended:
            self._text, reward, terminated, truncated, self._info = self._env.step(action)
            self._total, self._ended = self._total + reward, terminated or truncated

    def page(self) -> str:
        """Return the whole page as HTML."""
        info = self._info
        state = f"step {info['step']}, reward {self._total:g}, score {info['score']:g}"
        return (
            f"<!doctype html><meta charset=utf-8><title>WebShop</title><style>{_STYLE}</style>"
            f"<header><b>{html.escape(info['task'])}</b><span>{state}</span></header>"
            f"<main><section><h2>What can be done</h2>{self._controls(info)}</section>"
            f"<section><h2>What the agent reads</h2>"
            f"<pre>{html.escape(self._text.replace(' [SEP] ', chr(10)))}</pre></section></main>"
        )

    def _controls(self, info: Info) -> str:
        if self._ended:
            return "<p>The episode is over.</p>" + _form(
                "<button name=restart>Start again</button>"
            )
        refused = (
            "" if info["action_valid"] else "<p class=bad>The last action was not accepted.</p>"
        )
        search = _form(
            "<input name=query placeholder='search words' autofocus> <button>Search</button>",
            "search",
        )
        clicks = "".join(
            f"<button name=action value='{html.escape(f'click[{text}]', quote=True)}'>"
            f"{html.escape(text)}</button>"
            for text in info["clickables"]
            if text != "search"
        )
        return refused + search + _form(clicks)


def _form(content: str, kind: str = "clicks") -> str:
    return f"<form method=post action=/ class={kind}>{content}</form>"


def serve(task: Task, port: int = 8000, ready: Callable[[str], None] = print) -> None:
    """Serve one visit on 127.0.0.1 until interrupted.

    Args:
        task: what is to be bought.
        port: 0 takes a free one.
        ready: told the address once it is open.
    """
    with make_server(task, port) as server:
        ready(f"http://127.0.0.1:{server.server_port}/")
        with suppress(KeyboardInterrupt):
            server.serve_forever()


def make_server(task: Task, port: int = 0) -> ThreadingHTTPServer:
    """Return the server of a visit, listening but not yet serving.

    It has threads because browsers open connections that they do not use at once; one request is
    answered at a time.  Requests meant for another host, or sent by another site, are refused.
    """
    visit, lock = Visit(task), Lock()

    class Handler(BaseHTTPRequestHandler):
        timeout = SOCKET_SECONDS

        def do_GET(self) -> None:
            self._answer(self._refusal() or self._missing() or HTTPStatus.OK)

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length") or "0"
            too_large = not length.isdecimal() or int(length) > LONGEST_FORM
            refusal = self._refusal() or (too_large and HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            if refusal:
                self._answer(refusal)
                return
            text = self.rfile.read(int(length)).decode(errors="replace")
            with lock:
                self._apply(parse_qs(text, keep_blank_values=True))
            self._answer(HTTPStatus.SEE_OTHER)

        def _refusal(self) -> HTTPStatus | None:
            port = server.server_port
            host = self.headers.get("Host")
            known = (f"127.0.0.1:{port}", f"localhost:{port}")
            own = self.headers.get("Origin") in (None, f"http://{host}")
            return None if host in known and own else HTTPStatus.FORBIDDEN

        def _missing(self) -> HTTPStatus | None:
            return None if self.path == "/" else HTTPStatus.NOT_FOUND

        def _apply(self, form: dict[str, list[str]]) -> None:
            if "restart" in form:
                visit.restart()
            elif "query" in form:
                visit.act(f"search[{form['query'][0]}]")
            elif "action" in form:
                visit.act(form["action"][0])

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: the terminal belongs to the command."""

        def _answer(self, status: HTTPStatus) -> None:
            body = b""
            if status == HTTPStatus.OK:
                with lock:
                    body = visit.page().encode(errors="replace")
            self.send_response(status)
            if status == HTTPStatus.SEE_OTHER:
                self.send_header("Location", "/")
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Security-Policy", _POLICY)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.block_on_close = False  # a connection that is left open does not hold up the end
    return server
