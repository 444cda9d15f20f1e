"""A handful of products in the published form, written by us, for tests."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any


def entry(asin: str, name: str, **changes: Any) -> dict[str, Any]:
    """Return a catalogue entry with plain defaults."""
    plain = {
        "asin": asin,
        "name": name,
        "full_description": f"About {name}.",
        "small_description": [f"First of {name} ", "Second"],
        "pricing": "$19.5",
        "product_category": "Home › Kitchen › Mugs",
        "category": "garden",
        "query": " Coffee Mugs ",
        "customization_options": "",
    }
    return {**plain, **changes}


ENTRIES = [
    entry(
        "B000000001",
        "Blue Glass Mug",
        customization_options={
            "Size": [{"value": "Small"}, {"value": "12/15 oz"}],
            "Color": [{"value": "navy blue"}, {"value": "Plum"}],
            "Empty": None,
        },
    ),
    entry("B000000002", "Steel Mug [Lidded]", pricing="$10.00$12.50$99", small_description=""),
    entry("B000000001", "Blue Glass Mug, listed twice"),
    entry("nan", "No id"),
    entry("B00000000003", "Id of twelve letters"),
    entry("B000000004", "Café Cup", pricing="", customization_options={}),
    entry(
        "B000000005",
        "Wool Scarf",
        query="scarves",
        product_category="Clothing › Scarves",
        category="fashion",
        pricing="$995.0",
        customization_options={
            "fit": [{"value": "large"}, {"value": "odd [one]"}, {"value": "shared"}],
            "style": [{"value": "shared"}, {"value": "description"}, {"value": "it's <b> & c"}],
        },
    ),
]
ANNOTATIONS = {
    "B000000001": {
        "attributes": ["hand made", "dishwasher safe"],
        "instruction": "Find me hand made coffee mugs",
        "instruction_attributes": ["hand made"],
    },
    "B000000004": {
        "attributes": [],
        "instruction": "Find me small coffee mugs with handle",
        "instruction_attributes": ["small", "handle"],
    },
    "B000000005": {
        "attributes": ["warm"],
        "instruction": "Find me warm scarves",
        "instruction_attributes": ["warm"],
    },
}
HUMAN = {
    "B000000001": [
        {
            "instruction": "i want a plum coloured mug.",
            "instruction_attributes": ["hand made"],
            "instruction_options": ["plum"],
        },
        {"instruction": "nothing", "instruction_attributes": [], "instruction_options": []},
    ]
}
COLORS = ["blue", "navy", "plum", "red"]


def write_sources(folder: Path, zipped: bool = False, colors: bool = True) -> Path:
    """Write the files as they are published; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, Any] = {
        "items_shuffle_1000.json": ENTRIES,
        "items_ins_v2_1000.json": ANNOTATIONS,
        "items_human_ins.json": HUMAN,
    }
    if colors:
        files["colors.json"] = COLORS
    for name, content in files.items():
        text = json.dumps(content, indent=1 if zipped else None)
        if zipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
        else:
            (folder / name).write_text(text)
    return folder
