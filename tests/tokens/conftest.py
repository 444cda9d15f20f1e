from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from chat_templates import PLAIN, chatml_tokenizer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

CORPUS = [
    "You are in the kitchen.\n\nExits: north, south.",
    "<search>who wrote it</search>\n\n<information>Doc 1</information>",
    "go north\ngo south\n\n> take the red apple",
    "naïve café 你好 🙂 <tool_response>\n\n</tool_response>\n",
] * 8


@pytest.fixture(scope="session")
def trained_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ChatML tokenizer trained here, whose tokens merge newlines with what comes before."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        show_progress=False,
        special_tokens=["<|im_start|>", "<|im_end|>", "<|endoftext|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.save(str(path))
    return path


@pytest.fixture(scope="session", params=["trained", "official"])
def tokenizer_file(request: pytest.FixtureRequest) -> Path:
    """Two tokenizers: one trained here, always, and one of real size where it is present."""
    if request.param == "trained":
        return request.getfixturevalue("trained_file")
    path = request.getfixturevalue("shared") / "data" / "tiny_bpe_tokenizer.json"
    if not path.is_file():
        pytest.skip(f"no {path}")
    return path


@pytest.fixture
def tokenizer(trained_file: Path) -> Any:
    """A ChatML tokenizer that the test may change."""
    tokenizer = chatml_tokenizer(trained_file, PLAIN)
    assert isinstance(tokenizer, PreTrainedTokenizerFast)
    return tokenizer
