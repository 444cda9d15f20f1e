"""The parts of the vLLM engine that need no vLLM."""

from __future__ import annotations

import importlib.util
import math

import pytest
import torch

from agentrl.config import load_config
from agentrl.engines import SamplingParams
from agentrl.engines.vllm.arguments import engine_arguments, sampling_arguments
from agentrl.engines.vllm.backend import Counters
from agentrl.engines.vllm.features import Features, detect
from agentrl.engines.vllm.native import CountingLogger, entropy_bound
from agentrl.engines.vllm.records import Records, entropies_of
from agentrl.engines.vllm.settings import VLLMSettings
from agentrl.errors import ConfigError, MissingExtraError, UnknownNameError

WORDS = (
    "model skip_tokenizer_init dtype max_model_len max_num_batched_tokens max_num_seqs "
    "enable_prefix_caching logprobs_mode worker_extension_cls tensor_parallel_size "
    "gpu_memory_utilization generation_config seed logits_processors kv_cache_memory_bytes "
    "block_size enforce_eager enable_chunked_prefill enable_sleep_mode enable_lora max_lora_rank "
    "max_loras swap_space"
)
NAMES = frozenset(WORDS.split())
GPU = Features(version="9", cpu=False, engine_arguments=NAMES)
CPU = Features(version="9", cpu=True, engine_arguments=NAMES)


def arguments(features=GPU, options=None, **settings):
    values = {
        "model": "m",
        "tokenizer": True,
        "dtype": "float32",
        "max_context": 4096,
        "max_batch_tokens": 512,
        "cache_bytes": 1 << 20,
    }
    return engine_arguments(features, VLLMSettings(options=options or {}), **{**values, **settings})


def test_records_are_by_place_and_the_last_note_counts():
    records = Records()
    records.note([(0, "a", 0), (1, "b", 0)], torch.tensor([1.0, 2.0]))
    records.note([(0, "b", 0), (1, "a", 1)], torch.tensor([3.0, 4.0]))  # b's prompt had a part left
    records.version = 7
    records.note([(0, "a", 2)], torch.tensor([5.0]))
    taken = records.take(["a", "b", "unknown"])
    assert taken["a"] == {"entropies": [1.0, 4.0, 5.0], "versions": [0, 0, 7]}
    assert taken["b"] == {"entropies": [3.0], "versions": [0]}
    assert taken["unknown"] == {"entropies": [], "versions": []}


def test_records_of_taken_requests_do_not_pile_up():
    records = Records()
    for number in range(5000):
        records.note([(0, str(number), 0)], torch.zeros(1))
        records.take([str(number)])
        records.note([(0, str(number), 1)], torch.zeros(1))  # vLLM went on for a moment
    assert not records._notes
    assert len(records._taken) == 4096
    assert records.take(["4999"])["4999"]["entropies"] == []


def test_entropies_are_those_of_tempered_softmaxes_for_any_number_of_rows():
    logits = torch.randn(150, 37) * 3
    logits[3, 5:] = -math.inf
    temperatures = torch.linspace(0.3, 2.0, 150)
    probs = (logits / temperatures[:, None]).double().softmax(-1)
    expected = torch.special.entr(probs).sum(-1)
    torch.testing.assert_close(
        entropies_of(logits, temperatures).double(), expected, atol=1e-5, rtol=0
    )


def test_the_bound_is_below_the_entropy_and_meets_it_where_all_is_known():
    logprobs = torch.log_softmax(torch.randn(30, dtype=torch.double), -1)
    exact = -(logprobs.exp() * logprobs).sum().item()
    ordered = logprobs.sort(descending=True).values.tolist()
    bounds = [entropy_bound(ordered[:k]) for k in range(1, 31)]
    assert bounds == sorted(bounds)
    assert bounds[-1] == pytest.approx(exact, abs=1e-9)
    assert bounds[3] < exact
    assert entropy_bound([0.0, -math.inf]) == 0.0


def test_what_vllm_counts_adds_up():
    class Iteration:
        num_generation_tokens = 3

    class Cache:
        queries, hits = 10, 4

    class Scheduler:
        prefix_cache_stats = Cache()

    counters = Counters()
    logger = CountingLogger(counters)
    logger.record(Scheduler(), Iteration(), engine_idx=0)
    logger.record(Scheduler(), None)
    assert counters == Counters(steps=1, sampled_tokens=3, cache_queries=20, cache_hits=8)


def test_on_a_cpu_prompts_are_never_computed_in_parts():
    """vLLM dies when a seeded request's prompt is: CPU generators cannot go back."""
    cpu = arguments(CPU)
    assert cpu["enable_chunked_prefill"] is False
    assert cpu["max_num_batched_tokens"] == 4096 and cpu["enforce_eager"]
    gpu = arguments(GPU)
    assert gpu["max_num_batched_tokens"] == 512 and "enforce_eager" not in gpu
    assert gpu["enable_sleep_mode"]


@pytest.mark.parametrize(("rank", "served"), [(1, 1), (5, 8), (16, 16), (100, 128)])
def test_adapters_get_the_next_rank_that_there_are_kernels_for(rank, served):
    assert arguments(lora_rank=rank)["max_lora_rank"] == served


def test_options_reach_vllm_and_wrong_ones_are_refused():
    assert arguments(options={"swap_space": 2})["swap_space"] == 2
    with pytest.raises(UnknownNameError, match=r"swap_space"):
        arguments(options={"swap_spaces": 2})
    with pytest.raises(ConfigError, match="AgentRL needs it to be 'processed_logprobs'"):
        arguments(options={"logprobs_mode": "raw_logprobs"})
    lacking = Features("0.1", False, NAMES - {"logits_processors"})
    with pytest.raises(ConfigError, match=r"vLLM 0.1 has no engine argument `logits_processors`"):
        arguments(lacking)
    with pytest.raises(ConfigError, match="at most 512"):
        arguments(lora_rank=1000)


def test_a_request_leaves_nothing_to_the_defaults_of_vllm():
    params = SamplingParams(max_tokens=9, temperature=0.7, top_p=0.9, stop_ids=(3,), seed=2**64)
    given = sampling_arguments(params, prompt=95, max_context=100, seed=2**64, tag="t", exact=True)
    assert given["max_tokens"] == 5  # what the context has room for
    assert given["ignore_eos"] and given["stop_token_ids"] == [3]
    assert 0 <= given["seed"] < 2**63
    greedy = SamplingParams(temperature=0, top_p=0.5, top_k=3)
    given = sampling_arguments(greedy, prompt=1, max_context=9, seed=1, tag="t", exact=False)
    assert (given["top_p"], given["top_k"], given["logprobs"]) == (1.0, 0, 20)
    assert "seed" not in given


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"placement": "server"}, "needs its url"),
        ({"url": "http://x"}, "needs its url"),
        ({"placement": "server", "url": "http://x", "entropy": "bound"}, "exact"),
        ({"gpu_memory": 0.0}, "gpu_memory"),
        ({"timeout": 0.0}, "timeout"),
        ({"tensor_parallel": 0}, "tensor_parallel"),
    ],
)
def test_wrong_settings_say_what_is_accepted(settings, message):
    with pytest.raises(ConfigError, match=message):
        VLLMSettings(**settings)


def test_a_section_may_be_named_by_its_main_setting(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("engine: embedded\nalgorithm: gspo\n")
    config = load_config(file, ["engine.cache_gib=1", "algorithm.options={clip_low: 0.1}"])
    assert (config.engine.kind, config.engine.cache_gib) == ("embedded", 1.0)
    assert config.algorithm.name == "gspo"
    config = load_config(file, ["engine=vllm", "engine.vllm.placement=inline"])
    assert (config.engine.kind, config.engine.vllm.placement) == ("vllm", "inline")


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed here")
def test_without_vllm_the_error_names_the_extra():
    with pytest.raises(MissingExtraError, match=r"agentrl\[vllm\]"):
        detect()
