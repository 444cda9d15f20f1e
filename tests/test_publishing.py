"""What the learner has learned is what the engine samples with, or the run stops."""

from __future__ import annotations

import asyncio
import copy

import pytest
import torch

from agentrl.engines import SamplingParams
from agentrl.engines.embedded import EmbeddedEngine
from agentrl.errors import EngineError
from agentrl.models import attention, lora
from agentrl.publishing import Publisher, logprobs_of

PARAMS = SamplingParams(max_tokens=12, seed=3)
PROMPT = [5, 6, 7, 8]


class Apart(EmbeddedEngine):
    """An engine with a copy of the weights, as those in other processes have."""

    def __init__(self, model):
        super().__init__(copy.deepcopy(model))

    @property
    def shares_weights(self):
        return False


class Deaf(Apart):
    """One that forgets to use new weights."""

    async def update_weights(self, weights, version, *, in_flight=False):
        self._version = version


class WithAdapters(Apart):
    """One that is sent adapters by themselves."""

    async def update_adapter(self, folder, version):
        self.received = {path.name for path in folder.iterdir()}
        self._version = version


def changed(model):
    """Move the model as a step of a learner would."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
    return model


def publish(model, engine, version=1, dtype=torch.float32):
    asyncio.run(Publisher(model, engine, dtype).publish(version))


def gap(model, engine):
    completion = asyncio.run(engine.generate(PROMPT, PARAMS))
    expected = logprobs_of(model, PROMPT, completion.ids)
    return (torch.tensor(completion.logprobs) - expected).abs().max().item()


def test_an_engine_of_its_own_gets_the_weights_and_is_compared(tiny_model):
    attention.install(tiny_model)
    engine = Apart(tiny_model)
    changed(tiny_model).train()
    assert gap(tiny_model, engine) > 0.01
    publish(tiny_model, engine)
    assert engine.version == 1 and gap(tiny_model, engine) < 1e-4
    assert tiny_model.training  # as it was


def test_an_engine_that_shares_the_weights_is_only_told(tiny_model):
    engine = EmbeddedEngine(tiny_model)
    publish(changed(tiny_model), engine, version=4)
    assert engine.version == 4 and engine.stats.requests == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_that_do_not_arrive_stop_the_run(tiny_model, dtype):
    attention.install(tiny_model)
    engine = Deaf(tiny_model)
    with torch.no_grad():
        changed(tiny_model).model.norm.weight.mul_(20)  # far beyond what bfloat16 rounds
    with pytest.raises(EngineError, match=r"version 1 the engine's log-probs differ .* nats"):
        publish(tiny_model, engine, dtype=dtype)


def adapted(model):
    pytest.importorskip("peft")
    lora.add(model, rank=2, alpha=4.0, targets=(), seed=0, base="somewhere")
    with torch.no_grad():
        for parameter in lora.adapters(model).values():
            parameter.add_(0.05)
    return model


def test_adapters_are_merged_for_an_engine_that_takes_whole_weights(tiny_model):
    attention.install(tiny_model)
    engine = Apart(tiny_model)
    publish(adapted(tiny_model), engine)
    assert gap(tiny_model, engine) < 1e-4


def test_adapters_go_by_themselves_to_an_engine_that_takes_them(tiny_model):
    attention.install(tiny_model)
    engine = WithAdapters(tiny_model)
    with pytest.raises(EngineError, match="differ"):  # it takes them and does not use them
        publish(adapted(tiny_model), engine)
    assert {"adapter_config.json", "adapter_model.safetensors"} <= engine.received
