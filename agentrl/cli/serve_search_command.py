"""`agentrl serve-search SOURCE`: a search server that speaks the protocol of Search-R1."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "source",
        metavar="CORPUS",
        help='JSON lines {"id", "contents"}, the folder of an index, or a web service: serper, ...',
    )
    parser.add_argument("--host", default="127.0.0.1", help="default 127.0.0.1, this machine only")
    parser.add_argument("--port", type=int, default=8000, help="default 8000")
    parser.add_argument("--topk", type=int, default=3, help="hits where none are named (default 3)")
    parser.add_argument("--index", metavar="FOLDER", help="where the corpus's index is kept")
    parser.add_argument("--cache", metavar="FILE", help="where answers of a web service are kept")
    parser.epilog = "It answers POST /retrieve; `http://HOST:PORT` is then a source of searches."


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted."""
    from agentrl.errors import ConfigError
    from agentrl.tools.search.server import MOST_HITS, serve
    from agentrl.tools.search.sources import open_searcher

    if not 1 <= args.topk <= MOST_HITS:
        raise ConfigError(f"`--topk` is {args.topk}; it lies between 1 and {MOST_HITS}.")
    searcher = open_searcher(args.source, index=args.index, cache=args.cache)
    print(
        f"{searcher.name} search at http://{args.host}:{args.port}/retrieve; Ctrl-C ends it.",
        flush=True,
    )
    serve(searcher, host=args.host, port=args.port, topk=args.topk)
    return 0
