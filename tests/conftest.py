"""Fixtures every test may use: a tiny tokenizer and model, made games, a run, official data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.training.fixtures import finished_run, quiet_console, run_agentrl

if TYPE_CHECKING:  # whoever hands out the tests to processes needs neither, and waits for no import
    from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

__all__ = ["finished_run", "quiet_console", "run_agentrl"]

# Tests run beside each other on few cores: time says nothing.
settings.register_profile(
    "agentrl", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("agentrl")

REPOSITORY = Path(__file__).resolve().parents[1]

TEXTS = [
    "You are in the kitchen. There is a red apple on the table. Exits: north, south.",
    "You are in the bedroom. There is a closed wooden chest. Exits: east, west.",
    "go north",
    "go south",
    "take red apple from table",
    "open wooden chest",
    "You take the red apple. Your score has just gone up by one point.",
    "<think>The exit is north.</think> <action>go north</action>",
    "café naïve Zürich 你好 мир 🙂",
] * 4


@pytest.fixture(scope="session", autouse=True)
def one_thread_each() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE trained here; the same for every test, so do not change it."""
    from agentrl.models.tiny import build_tokenizer

    return build_tokenizer(TEXTS, vocab_size=400)


@pytest.fixture
def tiny_model(tiny_tokenizer: PreTrainedTokenizerFast) -> Qwen3ForCausalLM:
    """A random decoder for `tiny_tokenizer`, new for every test, in evaluation mode."""
    from agentrl.models.tiny import build_model

    model = build_model(
        tiny_tokenizer, hidden_size=32, layers=2, heads=4, kv_heads=2, max_context=512
    )
    return model.eval()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of official data and vectors; tests that need it are skipped without it."""
    path = Path(os.environ.get("AGENTRL_SHARED", REPOSITORY.parent / "shared"))
    if not path.is_dir():
        pytest.skip(f"no official data at {path}; set AGENTRL_SHARED to their folder")
    return path


@pytest.fixture(scope="session", autouse=True)
def game_cache(run_folder: Path) -> Iterator[None]:
    """Games, translations and catalogues are made once for all processes of a test run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AGENTRL_CACHE", str(run_folder / "agentrl-cache"))
        yield


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of a test run share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
