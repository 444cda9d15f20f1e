"""The local search index: time to build and open, memory, latency, and the server under load.

    python benchmarks/search_local.py --output benchmarks/results/NAME

100,000 passages of 60 to 120 words drawn from 200,000 by Zipf's law; a query is six words of one
passage, and should find it among the first three hits.  Latency is that of `Bm25Index.search` in
one thread; the server is `agentrl serve-search` in a process of its own, asked by 16 threads that
keep their connections.  Private memory is what one more process costs that uses the same index.
Writes NAME.json and prints a table.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bm25s
import numpy as np

from agentrl import __version__
from agentrl.tools.search.index import Bm25Index
from agentrl.tools.search.passages import Passage

VOCABULARY = 200_000
QUERY_WORDS = 6
K = 3
CLIENTS = 16


def make_passages(count: int, seed: int = 0) -> tuple[list[Passage], list[np.ndarray]]:
    """Return passages, and the numbers of their words."""
    random = np.random.default_rng(seed)
    chances = np.cumsum(1 / np.arange(1, VOCABULARY + 1))
    words = [_word(number) for number in range(VOCABULARY)]
    numbers = []
    for length in random.integers(60, 121, count):
        numbers.append(np.searchsorted(chances, random.random(length) * chances[-1]))
    passages = [
        Passage(id=str(place), contents=f'"T{place}"\n{" ".join(words[n] for n in row)}')
        for place, row in enumerate(numbers)
    ]
    return passages, numbers


def make_queries(numbers: Sequence[np.ndarray], count: int, seed: int = 1) -> list[tuple[str, str]]:
    """Return queries, each with the id of the passage whose words they are."""
    random = np.random.default_rng(seed)
    places = random.integers(len(numbers), size=count)
    return [
        (" ".join(_word(n) for n in random.choice(numbers[place], QUERY_WORDS)), str(place))
        for place in places
    ]


def _word(number: int) -> str:
    """Return a word of seven letters; neighbours in rank differ in all places."""
    mixed = number * 2_654_435_761 % 26**6
    return "w" + "".join(chr(97 + mixed // 26**place % 26) for place in range(6))


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    """Return p50, p95, p99 in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return {f"p{at}_ms": round(cuts[at - 1] * 1000, 2) for at in (50, 95, 99)}


def timed(ask: Callable[[str], object], queries: Sequence[str]) -> list[float]:
    """Return the seconds of each query."""
    seconds = []
    for query in queries:
        start = time.perf_counter()
        ask(query)
        seconds.append(time.perf_counter() - start)
    return seconds


def private_mb(folder: Path, queries: Sequence[str]) -> float:
    """Return the memory of its own that a process needs for the index, after some queries."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_private_mb, (folder, queries))


def _private_mb(folder: Path, queries: Sequence[str]) -> float:
    before = _private_kb()
    index = Bm25Index(folder)
    for query in queries:
        index.search(query, K)
    return round((_private_kb() - before) / 1024, 1)


def _private_kb() -> int:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


@contextmanager
def server(folder: Path) -> Iterator[int]:
    """Run `agentrl serve-search`; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as place:
        port = int(place.getsockname()[1])
    command = [sys.executable, "-m", "agentrl", "serve-search", str(folder), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                _post(http.client.HTTPConnection("127.0.0.1", port), "x")
                break
            except ConnectionRefusedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait(30)


def under_load(port: int, queries: Sequence[str]) -> dict[str, float]:
    """Ask from 16 threads, each with a connection of its own."""

    def client(some: Sequence[str]) -> list[float]:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        return timed(lambda query: _post(connection, query), some)

    start = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        parts = list(pool.map(client, [queries[number::CLIENTS] for number in range(CLIENTS)]))
    elapsed = time.perf_counter() - start
    seconds = [second for part in parts for second in part]
    return {**quantiles(seconds), "requests_per_second": round(len(queries) / elapsed)}


def _post(connection: http.client.HTTPConnection, query: str) -> Any:
    body = json.dumps({"queries": [query], "topk": K, "return_scores": True})
    connection.request("POST", "/retrieve", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = json.loads(response.read())
    assert response.status == 200, answer
    return answer


def measure(folder: Path, passages: int, queries: int) -> dict[str, Any]:
    """Return all numbers."""
    made, numbers = make_passages(passages)
    asked = make_queries(numbers, queries)
    texts = [query for query, _ in asked]
    start = time.perf_counter()
    Bm25Index.build(made, folder)
    built = time.perf_counter()
    index = Bm25Index(folder)
    opened = time.perf_counter()
    found = [place in [hit.extra["id"] for hit in index.search(query, K)] for query, place in asked]
    seconds = timed(lambda query: index.search(query, K), texts)
    with server(folder) as port:
        load = under_load(port, texts)
        connection = http.client.HTTPConnection("127.0.0.1", port)
        alone = quantiles(timed(lambda query: _post(connection, query), texts[:200]))
    return {
        "passages": passages,
        "corpus_mb": round(sum(len(passage.contents) for passage in made) / 1e6, 1),
        "queries": queries,
        "build_s": round(built - start, 1),
        "open_s": round(opened - built, 3),
        "disk_mb": round(sum(file.stat().st_size for file in folder.iterdir()) / 1e6, 1),
        "private_mb": private_mb(folder, texts[:200]),
        "recall_at_3": statistics.mean(found),
        "search": quantiles(seconds),
        "server_1_client": alone,
        "server_16_clients": load,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--passages", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--output", type=Path, help="NAME.json is written")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        results = measure(Path(scratch) / "index", args.passages, args.queries)
    rows = {}
    for name, value in results.items():
        nested = value if isinstance(value, dict) else {"": value}
        rows |= {f"{name} {part}".strip(): number for part, number in nested.items()}
    for name, value in rows.items():
        print(f"{name:40} {value}")
    machine = {"cpus": os.cpu_count(), "python": platform.python_version()}
    versions = {"agentrl": __version__, "bm25s": bm25s.__version__, "numpy": np.__version__}
    record = {"machine": machine, "versions": versions, "load": os.getloadavg(), **results}
    if args.output:
        args.output.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    else:
        print(json.dumps(record))


if __name__ == "__main__":
    main()
