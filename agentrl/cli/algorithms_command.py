"""`agentrl algorithms [NAME]`."""

from __future__ import annotations

import argparse
import inspect


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", nargs="?", help="show this algorithm's composition and settings")
    parser.epilog = (
        "A setting is changed with `algorithm.options.SETTING=VALUE`, for example\n"
        "agentrl train configs/quickstart.yaml algorithm.name=grpo algorithm.options.clip_low=0.1"
    )


def run(args: argparse.Namespace) -> int:
    """List every algorithm, or show one."""
    if args.name is None:
        _list()
    else:
        _show(args.name)
    return 0


def _list() -> None:
    """Print name, description, source and slots of every algorithm, by family."""
    from agentrl.algorithms import get, listing
    from agentrl.algorithms.describe import TITLES, composition
    from agentrl.algorithms.registry import card

    cards = {name: card(name) for name, _ in listing()}
    for family, title in {**TITLES, "": "Others"}.items():
        found = [
            (name, text)
            for name, text in listing()
            if (known.family if (known := cards[name]) else "") == family
        ]
        if found:
            print(f"{title}\n")
        for name, text in found:
            known = cards[name]
            slots = ", ".join(slot for slot, _ in composition(get(name)))
            print(f"  {name:22} {text}")
            print(f"  {'':22} {known.source + '; ' if known else ''}slots: {slots}\n")


def _show(name: str) -> None:
    """Print description, composition, defaults and provenance of one algorithm."""
    from agentrl.algorithms import get, settings
    from agentrl.algorithms.describe import composition
    from agentrl.algorithms.registry import card, factory

    print(inspect.getdoc(factory(name)) or name)
    print("\nComposition (what is not listed is as in `Algorithm`):")
    for slot, members in composition(get(name)):
        print(f"  {slot:16} {members}")
    print("\nDefaults:")
    for setting, default in settings(name).items():
        print(f"  {setting} = {default!r}")
    known = card(name)
    if known is not None:
        print(f"\nSource: {known.source}\nProvenance: {known.provenance}")
        print(f"Documentation: docs/algorithms/{known.family}.md")
