"""From the options of a task to an opened catalogue."""

from __future__ import annotations

from pathlib import Path

from agentrl.envs.building import build_once
from agentrl.envs.data import existing_directory
from agentrl.envs.webshop.catalogue import Catalogue, open_catalogue
from agentrl.envs.webshop.colors import OWN_COLORS
from agentrl.envs.webshop.generator import GENERATOR, generate
from agentrl.envs.webshop.products import read_products
from agentrl.envs.webshop.sources import (
    PackedObject,
    Sources,
    find_sources,
    read_colors,
    read_list,
)
from agentrl.envs.webshop.store import (
    META,
    cache_directory,
    source_key,
    write_catalogue,
)

_WITHOUT_DATA = "play in a shop that is made up, `catalogue: generated`"


def published_catalogue(name: str, data_dir: str | None) -> Catalogue:
    """Open a published catalogue, preparing it on first use.

    Args:
        name: `1k` or `full`.
        data_dir: a folder with the published files, or one that `agentrl data webshop` prepared;
            by default where `agentrl.envs.data.data_directory` looks.

    Raises:
        DataError: the files are missing or damaged.
    """
    folder = existing_directory("webshop", data_dir, otherwise=_WITHOUT_DATA)
    for prepared in (folder, folder / name):
        if (prepared / META).is_file():
            return open_catalogue(prepared)
    sources = find_sources(folder, name)
    target = cache_directory() / f"{name}-{source_key(sources.key())}"
    build_once(target, lambda scratch: write_published(scratch, sources))
    return open_catalogue(target)


def write_published(folder: Path, sources: Sources) -> None:
    """Write the prepared form of published files into an existing folder."""
    annotations = PackedObject(sources.annotations)
    human = PackedObject(sources.human) if sources.human else {}
    colors = read_colors(sources.colors) if sources.colors else OWN_COLORS
    products = read_products(read_list(sources.products), annotations, human)
    write_catalogue(folder, products, colors, sources.products.name)


def generated_catalogue(size: int, seed: int, style: str) -> Catalogue:
    """Open a generated catalogue, making it on first use."""
    target = cache_directory() / f"generated-{GENERATOR}-{style}-{size}-{seed}"
    build_once(
        target,
        lambda scratch: write_catalogue(
            scratch, generate(size, seed, style), OWN_COLORS, f"the generator, seed {seed}"
        ),
    )
    return open_catalogue(target)
