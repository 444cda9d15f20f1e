from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agentrl.errors import ConfigError
from agentrl.models import attention
from agentrl.models.load import save
from agentrl.models.tiny import SPECIAL_TOKENS, build_model, build_tokenizer
from agentrl.tokens import Renderer

TEXTS = ["go north", "go south", "You are in the kitchen."] * 5


@given(text=st.text(max_size=40))
def test_any_text_survives_encoding_and_decoding(tiny_tokenizer, text):
    ids = tiny_tokenizer.encode(text, add_special_tokens=False)
    assert tiny_tokenizer.decode(ids) == text


def test_special_tokens_are_single_registered_ids(tiny_tokenizer):
    for token in SPECIAL_TOKENS:
        assert len(tiny_tokenizer.encode(token, add_special_tokens=False)) == 1
        assert token in tiny_tokenizer.all_special_tokens
    assert (tiny_tokenizer.eos_token, tiny_tokenizer.pad_token) == ("<|end|>", "<|pad|>")


def test_a_turn_costs_three_tokens_of_frame(tiny_tokenizer):
    text = tiny_tokenizer.encode("go north", add_special_tokens=False)
    ids = Renderer(tiny_tokenizer).prompt([{"role": "user", "content": "go north"}])
    assert len(ids) == len(text) + 3


def test_tools_are_listed_with_the_first_message(tiny_tokenizer):
    prompt = Renderer(tiny_tokenizer).prompt(
        [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}], [{"name": "look"}]
    )
    expected = '<|system|>S\n[{"name": "look"}]<|end|><|user|>U<|end|><|assistant|>'
    assert tiny_tokenizer.decode(prompt) == expected


def test_the_same_texts_give_the_same_tokenizer():
    one, two = build_tokenizer(TEXTS, vocab_size=300), build_tokenizer(TEXTS, vocab_size=300)
    assert one.get_vocab() == two.get_vocab()
    assert len(one) <= 300


def test_a_vocabulary_without_room_for_bytes_is_refused():
    with pytest.raises(ConfigError, match=r"`model\.vocab_size` is 200.*at least 262"):
        build_tokenizer(TEXTS, vocab_size=200)


def test_weights_depend_on_the_seed_alone(tiny_tokenizer):
    torch.manual_seed(1)
    one = build_model(tiny_tokenizer, hidden_size=16, layers=1, seed=3)
    state = torch.random.get_rng_state()
    two = build_model(tiny_tokenizer, hidden_size=16, layers=1, seed=3)
    other = build_model(tiny_tokenizer, hidden_size=16, layers=1, seed=4)
    assert torch.equal(state, torch.random.get_rng_state())
    weights = [model.model.embed_tokens.weight for model in (one, two, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_fresh_model_has_logits_of_unit_size(tiny_tokenizer):
    model = build_model(tiny_tokenizer, hidden_size=64, layers=4)
    ids = torch.tensor([tiny_tokenizer.encode("You are in the kitchen.")])
    with torch.no_grad():
        logits = model(input_ids=ids).logits
    assert 0.7 < logits.std().item() < 1.4


def test_dtype_and_tied_embeddings(tiny_tokenizer):
    model = build_model(tiny_tokenizer, hidden_size=16, layers=1, dtype=torch.float64)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float64}
    assert model.lm_head.weight is model.model.embed_tokens.weight


@pytest.mark.parametrize(
    "sizes",
    [{"hidden_size": 30, "heads": 4}, {"hidden_size": 12, "heads": 4}, {"heads": 4, "kv_heads": 3}],
)
def test_sizes_that_do_not_go_together_are_refused(tiny_tokenizer, sizes):
    with pytest.raises(ConfigError):
        build_model(tiny_tokenizer, **sizes)


PLAIN_PROGRAM = """
import sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1], local_files_only=True)
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], local_files_only=True)
ids = tokenizer.apply_chat_template([{"role": "user", "content": "go north"}], return_dict=False,
                                    add_generation_prompt=True, return_tensors="pt")
torch.manual_seed(0)
out = model.generate(ids, max_new_tokens=4, do_sample=False)
assert not any(name.split(".")[0] == "agentrl" for name in sys.modules)
print(ids[0].tolist(), model(ids).logits[0, -1, :3].tolist(), out.shape[1] > ids.shape[1])
"""


def test_a_saved_model_runs_in_plain_transformers(tiny_tokenizer, tiny_model, tmp_path: Path):
    ids = Renderer(tiny_tokenizer).prompt([{"role": "user", "content": "go north"}])
    with torch.no_grad():
        logits = tiny_model(torch.tensor([ids])).logits[0, -1, :3].tolist()
    attention.install(tiny_model)
    save(tiny_model, tiny_tokenizer, tmp_path / "model")
    run = subprocess.run(
        [sys.executable, "-c", PLAIN_PROGRAM, str(tmp_path / "model")],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == f"{ids} {logits} True"
