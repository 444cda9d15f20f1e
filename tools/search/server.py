"""A server of the Search-R1 protocol over anything that can be asked.

`POST /retrieve` takes `{"queries": [..], "topk": 3, "return_scores": true}`, or a single
`query`, and answers `{"result": [[{"document": {..}, "score": 1.5}, ..], ..]}`; without scores
documents come as they are.  One such process in front of a web service gives all workers
of a run the same connections, rate limit and cache.

Source of the protocol: PeterGriffinJin/Search-R1:search_r1/search/retrieval_server.py.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agentrl.envs.extras import require
from agentrl.errors import ConfigError
from agentrl.tools.base import JSON
from agentrl.tools.search.failure import SearchFailure
from agentrl.tools.search.hit import SearchHit
from agentrl.tools.search.searcher import Searcher

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse

MOST_QUERIES = 1024
MOST_HITS = 1000
START_SECONDS = 30.0
_NEEDED_FOR = "A search server"


@dataclass(frozen=True, slots=True)
class Question:
    """The body of a request.

    Attributes:
        queries: one or more.
        topk: hits per query.
        return_scores: whether documents come with their scores.
    """

    queries: list[str]
    topk: int
    return_scores: bool


class BadBody(ValueError):
    """A body that cannot be read.

    Args:
        name: of the wrong field; empty for the body itself.
        text: what is accepted.
    """

    def __init__(self, name: str, text: str) -> None:
        super().__init__(name, text)
        self.name, self.text = name, text


def parse_body(body: JSON, topk: int) -> Question:
    """Read a body; `topk` is the server's own.

    Raises:
        BadBody: it cannot be read.
    """
    if not isinstance(body, dict):
        raise BadBody("", "a JSON object is needed")
    name = "query" if "queries" not in body and "query" in body else "queries"
    queries = [body["query"]] if name == "query" else body.get("queries")
    if not isinstance(queries, list) or not all(isinstance(query, str) for query in queries):
        raise BadBody(name, "`queries` is a list of texts, or `query` one text")
    if len(queries) > MOST_QUERIES:
        raise BadBody(name, f"at most {MOST_QUERIES} queries go into one request")
    wanted = body.get("topk")
    if type(wanted) not in (int, type(None)) or not 0 <= (wanted or 0) <= MOST_HITS:
        raise BadBody("topk", f"a number up to {MOST_HITS}; 0 and null mean {topk}")
    scores = body.get("return_scores", False)
    if not isinstance(scores, bool):
        raise BadBody("return_scores", "true or false")
    return Question(queries, wanted or topk, scores)


def document(hit: SearchHit) -> dict[str, JSON]:
    """Return a hit as a document: the row of a corpus, or a page with its address."""
    if hit.url is None:
        return {**hit.extra, "contents": hit.contents}
    row = {"url": hit.url, "title": hit.title, "text": hit.snippet, "contents": hit.contents}
    return row | ({"date": hit.date} if hit.date else {})


def make_app(searcher: Searcher, topk: int = 3) -> Starlette:
    """Return the application; it closes the searcher when it is shut down.

    Args:
        searcher: what is asked.
        topk: hits per query where a request does not say.

    Raises:
        MissingExtraError: starlette is not installed.
    """
    applications = require("starlette.applications", extra="search", needed_for=_NEEDED_FOR)
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def retrieve(request: Request) -> JSONResponse:
        try:
            question = parse_body(await _json(request), topk)
            return JSONResponse({"result": await answer(searcher, question)})
        except BadBody as error:
            place = ["body", error.name] if error.name else ["body"]
            detail = {"type": "value_error", "loc": place, "msg": error.text}
            return JSONResponse({"detail": [detail]}, status_code=422)
        except SearchFailure as failure:
            return JSONResponse({"detail": str(failure)}, status_code=503)

    async def health(request: Request) -> JSONResponse:
        return JSONResponse({"backend": searcher.name, "topk": topk})

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await searcher.close()

    routes = [Route("/retrieve", retrieve, methods=["POST"]), Route("/health", health)]
    app: Starlette = applications.Starlette(routes=routes, lifespan=lifespan)
    return app


async def answer(searcher: Searcher, question: Question) -> list[list[JSON]]:
    """Return the documents of every query, with scores where they are asked for."""
    asked = (searcher.search(query, question.topk) for query in question.queries)
    return [_rows(hits, question.return_scores) for hits in await asyncio.gather(*asked)]


def serve(searcher: Searcher, *, host: str = "127.0.0.1", port: int = 8000, topk: int = 3) -> None:
    """Serve until interrupted."""
    _server(searcher, topk).run(sockets=[_bound(host, port)])


@contextmanager
def served(searcher: Searcher, *, topk: int = 3) -> Iterator[str]:
    """Serve from a thread at a free port of this machine; gives the address.

    Raises:
        ConfigError: the server does not start.
    """
    server = _server(searcher, topk)
    with _bound("127.0.0.1", 0) as place:
        thread = threading.Thread(target=server.run, args=([place],), daemon=True)
        thread.start()
        try:
            deadline = time.monotonic() + START_SECONDS
            while not server.started:
                if time.monotonic() > deadline or not thread.is_alive():
                    raise ConfigError(f"The search server did not start in {START_SECONDS:g} s.")
                time.sleep(0.01)
            yield f"http://127.0.0.1:{place.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(START_SECONDS)


def _rows(hits: Sequence[SearchHit], scores: bool) -> list[JSON]:
    if scores:
        return [{"document": document(hit), "score": hit.score} for hit in hits]
    return [document(hit) for hit in hits]


async def _json(request: Request) -> JSON:
    try:
        return await request.json()
    except ValueError:
        raise BadBody("", "it is not JSON") from None


def _server(searcher: Searcher, topk: int) -> Any:
    uvicorn = require("uvicorn", extra="search", needed_for=_NEEDED_FOR)
    app = make_app(searcher, topk)
    return uvicorn.Server(
        uvicorn.Config(app, log_level="warning", access_log=False, ws="none", lifespan="on")
    )


def _bound(host: str, port: int) -> socket.socket:
    """Return a socket at the address; taken now, so that a taken port is a clear error."""
    if not 0 <= port < 65_536:
        raise ConfigError(f"The port is {port}; it lies between 0, any free one, and 65535.")
    try:
        place = socket.create_server((host, port), backlog=2048)
    except OSError as error:
        raise ConfigError(f"Cannot listen at {host}:{port}: {error}.") from error
    # Connections inherit it; asyncio sets it only where it made the socket itself, and without it
    # every answer waits 40 ms for the client's acknowledgement.
    place.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return place
