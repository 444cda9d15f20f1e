"""Files of questions for tests, in the forms that the sets are published in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

GAIA_ROWS = [
    {
        "task_id": f"g-{number}",
        "Question": f"What is {number} plus {number}?",
        "Level": level,
        "Final answer": str(2 * number),
        "file_name": "table.csv" if number == 1 else "",
        "Annotator Metadata": {"Steps": "1. Add."},
    }
    for number, level in enumerate([1, 1, 2, 3])
]


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows as JSON lines, making the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path
