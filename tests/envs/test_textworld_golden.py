"""Official TextWorld plays, made by `tw-make`, replayed through the `prose` back end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.golden.environments_textworld import check


@pytest.fixture
def transcripts(shared: Path) -> Path:
    path = shared / "golden" / "environments" / "textworld.transcripts.json"
    if not path.exists():
        pytest.skip(f"no official transcripts at {path}")
    return path


@pytest.mark.slow
def test_official_transcripts_replay_exactly(transcripts: Path, shared: Path):
    assert check(transcripts, shared / "data") == []


@pytest.mark.slow
def test_a_changed_transcript_is_noticed(transcripts: Path, shared: Path, tmp_path: Path):
    data = json.loads(transcripts.read_text())
    data["transcripts"] = data["transcripts"][:1]
    data["transcripts"][0]["steps"][1]["score"] += 1
    (tmp_path / "textworld.transcripts.json").write_text(json.dumps(data))
    (problem,) = check(tmp_path / "textworld.transcripts.json", shared / "data")
    assert "step 1: score" in problem
