"""Statistics of the whole next-token distribution, as the learner computes them."""

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from learner_samples import VOCAB, gradients, random_forest, relative, tiny_model
from torch import Tensor, nn

from agentrl.algorithms import Algorithm, Normaliser, estimate_advantages, get, policy_loss
from agentrl.algorithms.batch import Batch, Stat
from agentrl.algorithms.statistics import (
    FilteredLogprobs,
    LayerLogprobs,
    LogitStatistic,
    TemperedLogprobs,
    TopPEntropy,
)
from agentrl.errors import ConfigError
from agentrl.learner import Learner, LearnerSettings
from agentrl.learner import head as head_module
from agentrl.learner import measure as measure_module
from agentrl.learner.forward import forward
from agentrl.learner.head import Tile, predict
from agentrl.learner.measure import Measure
from agentrl.learner.optimizer import Optimizer
from agentrl.learner.rows import Rows, rows
from agentrl.models.attention import install

LAYERS = 3
OF_LOGITS: list[LogitStatistic] = [
    TemperedLogprobs(temperature=1.3, current=True),
    FilteredLogprobs(kind="min-p", threshold=0.1, current=True),
    FilteredLogprobs(kind="fixed", threshold=0.01, current=True),
    TopPEntropy(top_p=0.9, current=True),
    TopPEntropy(top_p=0.9, top_k=4, current=True),
]
ALL = [*OF_LOGITS, LayerLogprobs(layer=0, current=True), LayerLogprobs(layer=2, current=True)]


def samples(count: int = 7, width: int = 5, vocabulary: int = 11) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    hidden = torch.randn(count, width, generator=generator, dtype=torch.float64)
    weight = torch.randn(vocabulary, width, generator=generator, dtype=torch.float64)
    targets = torch.randint(vocabulary, (count,), generator=generator)
    return hidden.requires_grad_(), weight.requires_grad_(), targets


def read(
    statistic: LogitStatistic,
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    temperature: float = 1.0,
    rows: int | None = None,
) -> Tensor:
    tile = None if rows is None else Tile(rows, len(weight))
    found = predict(
        hidden, weight, targets, temperature=temperature, further=[statistic], tile=tile
    )
    return found.further[statistic]


@pytest.mark.parametrize("statistic", OF_LOGITS, ids=repr)
@pytest.mark.parametrize("rows", [1, 3, 7, None])
def test_tiles_equal_materialised_logits(statistic: LogitStatistic, rows: int | None) -> None:
    hidden, weight, targets = samples()
    ours = read(statistic, hidden, weight, targets, 0.7, rows)
    theirs = statistic.of_logits(hidden @ weight.T / 0.7, targets)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    upstream = torch.randn(len(targets), dtype=torch.float64)
    mine = torch.autograd.grad((ours * upstream).sum(), (hidden, weight))
    other = torch.autograd.grad((theirs * upstream).sum(), (hidden, weight))
    for a, b in zip(mine, other, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)
    with torch.no_grad():
        plain = read(statistic, hidden, weight, targets, 0.7, rows)
    assert torch.equal(plain, ours)


@pytest.mark.parametrize("statistic", OF_LOGITS, ids=repr)
def test_gradients_equal_finite_differences(statistic: LogitStatistic) -> None:
    hidden, weight, targets = samples()
    assert torch.autograd.gradcheck(
        lambda h, w: read(statistic, h, w, targets, 1.2, 3), (hidden, weight)
    )


@pytest.mark.parametrize("statistic", OF_LOGITS, ids=repr)
def test_no_tile_of_logits_is_kept_for_the_backward_pass(statistic: LogitStatistic) -> None:
    hidden, weight, targets = samples(count=20, width=4, vocabulary=600)
    kept: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        kept.append(tensor.untyped_storage().nbytes() // 8)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        found = read(statistic, hidden, weight, targets, rows=8)
    assert max(kept) == weight.numel() < 8 * 600
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        statistic.of_logits(hidden @ weight.T, targets)
    assert max(kept) >= 20 * 600
    found.sum().backward()
    assert hidden.grad is not None
    assert hidden.grad.isfinite().all()


def plain_statistic(
    model: nn.Module, found: Rows, statistic: LogitStatistic, temperature: float
) -> Tensor:
    """One ordinary forward pass per row, logits and all [B, T]."""
    model.config._attn_implementation = "sdpa"
    values = []
    inner: list[Tensor] = []
    decoder: Any = model.model
    handles = [
        layer.register_forward_hook(
            lambda module, given, out: inner.append(out[0] if isinstance(out, tuple) else out)
        )
        for layer in decoder.layers
    ]
    for row in found.rows:
        tree = found.trees[row.tree]
        ids: list[int] = []
        places: list[int] = []
        for node in tree.path(row.last):
            if node.id in row.nodes:
                places += range(len(ids), len(ids) + len(node.ids))
            ids += node.ids
        inner.clear()
        out = model(input_ids=torch.tensor([ids]), use_cache=False)
        logits = out.logits[0]
        if statistic.layer is not None:
            logits = inner[statistic.layer].reshape(len(ids), -1) @ model.lm_head.weight.T
        before = torch.tensor(places) - 1
        targets = torch.tensor(ids)[places]
        values.append(statistic.of_logits(logits[before] / temperature, targets))
    for handle in handles:
        handle.remove()
    install(model)
    return torch.nn.utils.rnn.pad_sequence(values, batch_first=True)


def measurer(model: nn.Module, budget: int = 1 << 20) -> Measure:
    install(model)
    return Measure(model, None, None, temperature=0.7, microbatch_tokens=budget, updates_per_step=1)


@pytest.mark.parametrize("statistic", ALL, ids=repr)
@pytest.mark.parametrize("family", ["qwen3", "llama"])
def test_the_learner_computes_them_along_the_tree(statistic: LogitStatistic, family: str) -> None:
    model = tiny_model(family, num_hidden_layers=LAYERS)
    found = rows(random_forest(4))
    valid_BT = found.batch.valid_BT
    for budget in (1 << 20, 30):
        measured = measurer(model, budget).frozen(found, range(len(found.rows)), {statistic})
        expected = plain_statistic(model, found, statistic, 0.7)
        torch.testing.assert_close(
            measured[statistic][valid_BT], expected[valid_BT], rtol=1e-9, atol=1e-9
        )


@pytest.mark.parametrize("statistic", ALL, ids=repr)
def test_their_gradients_are_those_of_separate_rows(statistic: LogitStatistic) -> None:
    found = rows(random_forest(4))
    valid_BT = found.batch.valid_BT
    model = tiny_model(num_hidden_layers=LAYERS)
    other = copy.deepcopy(model)
    (micro,) = measurer(model).micro_batches(found, range(len(found.rows)))
    stats, _ = forward(model, micro, {statistic}, temperature=0.7)
    order = torch.argsort(torch.as_tensor(micro.rows_B))
    stats[statistic][order][valid_BT].sum().backward()
    plain_statistic(other, found, statistic, 0.7)[valid_BT].sum().backward()
    assert relative(gradients(model), gradients(other)) < 1e-8


def test_each_layer_is_projected_once_whatever_is_read_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All tokens fit into one tile here, so tiles count the passes over the vocabulary."""
    passes: list[Tensor] = []
    logits = head_module._logits

    def count(hidden: Tensor, weight: Tensor, temperature: float) -> Tensor:
        passes.append(hidden)
        return logits(hidden, weight, temperature)

    monkeypatch.setattr(head_module, "_logits", count)
    model = tiny_model(num_hidden_layers=LAYERS)
    found = rows(random_forest(4))
    (micro,) = measurer(model).micro_batches(found, range(len(found.rows)))
    inner = [LayerLogprobs(layer=0, current=True), TopPEntropy(layer=0, current=True)]
    wanted = {Stat.ENTROPY, Stat.ENTROPY_GRAD, *ALL, *inner}
    stats, _ = forward(model, micro, wanted, temperature=0.7)
    assert set(stats) == {Stat.LOGPROBS, *wanted}
    assert len(passes) == len([None, 0, 2])
    sum(values_BT.sum() for values_BT in stats.values()).backward()
    assert len(passes) == 2 * len([None, 0, 2])


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("layer", [0, 1])
def test_an_inner_policy_trains_only_what_lies_below_it(
    layer: int, checkpointing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model("llama", num_hidden_layers=LAYERS)
    algorithm = get("bupo", layer=layer)
    learner = make(model, algorithm, gradient_checkpointing=checkpointing)
    monkeypatch.setattr(Optimizer, "step", lambda *_, **__: {"updates": 0.0})
    learner.update(random_forest(5))
    for name, parameter in model.named_parameters():
        parts = name.split(".")
        below = "layers" not in parts or int(parts[parts.index("layers") + 1]) <= layer
        reached = parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
        assert reached == (below and name != "model.norm.weight"), name


def test_the_last_layer_is_read_before_the_final_norm() -> None:
    model = tiny_model("llama", num_hidden_layers=LAYERS)
    with torch.no_grad():
        model.model.norm.weight.zero_()
    found = rows(random_forest(4))
    last = LayerLogprobs(layer=LAYERS - 1, current=True)
    stats = measurer(model).frozen(found, range(len(found.rows)), {last})
    valid_BT = found.batch.valid_BT
    uniform = torch.full_like(stats[last][valid_BT], 1 / VOCAB).log()
    torch.testing.assert_close(stats[Stat.LOGPROBS][valid_BT], uniform)
    assert (stats[last][valid_BT] - uniform).abs().max() > 0.1


def test_a_layer_that_the_model_lacks_is_one_clear_error() -> None:
    learner = make(tiny_model(num_hidden_layers=LAYERS), get("bupo", layer=7))
    with pytest.raises(ConfigError, match="reads layer 7, but the model has 3"):
        learner.update(random_forest(4))


def make(model: nn.Module, algorithm: Algorithm, **settings: Any) -> Learner:
    return Learner(model, algorithm, LearnerSettings(learning_rate=1e-2, **settings))


class Gradient(Exception):
    """Ends an update before the weights change."""


def first_step(learner: Learner, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """Return the gradient of the first optimiser step of an update."""

    def stop(self: Optimizer, loss: Tensor, learning_rate: Any = None) -> None:
        raise Gradient

    with monkeypatch.context() as patch:
        patch.setattr(Optimizer, "step", stop)
        with pytest.raises(Gradient):
            learner.update(random_forest(5, trees=4))
    found = gradients(learner.model)
    learner.model.zero_grad()
    return found


METHODS = {
    "bupo": {"layer": 1},
    "lp_reg": {"share": 0.5},
    "siren": {"anchor": 0.3},
    "dcpo": {},
    "hapo": {},
}


@pytest.mark.parametrize("name", METHODS)
def test_copies_of_current_statistics_equal_a_pass_of_their_own(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One optimiser step: the old policy is the current one, whether it is copied or computed."""
    algorithm = get(name, **METHODS[name])
    model = tiny_model(num_hidden_layers=LAYERS)
    short = first_step(make(model, algorithm), monkeypatch)
    computed = measure_module.computed_before

    def everything(needed: Any, early: Any, batch: Batch, updates: int) -> Any:
        return computed(needed, needed, batch, updates)

    monkeypatch.setattr(measure_module, "computed_before", everything)
    full = first_step(make(model, algorithm), monkeypatch)
    assert short.norm() > 0
    assert relative(short, full) < 1e-12


@pytest.mark.parametrize("name", METHODS)
def test_micro_batches_change_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm = get(name, **METHODS[name])
    model = tiny_model(num_hidden_layers=LAYERS)
    whole = first_step(make(model, algorithm), monkeypatch)
    cut = first_step(make(model, algorithm, microbatch_tokens=30), monkeypatch)
    assert relative(cut, whole) < 1e-9


def test_an_inner_policys_update_equals_training_every_row_by_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    algorithm, forest = get("bupo", layer=1), random_forest(5, trees=4)
    model = tiny_model(num_hidden_layers=LAYERS)
    ours = first_step(make(copy.deepcopy(model), algorithm), monkeypatch)
    found, view = rows(forest), algorithm.policy_view
    assert view is not None
    now = LayerLogprobs(layer=1, current=True)
    inner_BT = plain_statistic(model, found, now, 1.0)
    batch = estimate_advantages(algorithm, found.batch)
    batch = batch.with_stats({Stat.LOGPROBS: inner_BT, Stat.OLD_LOGPROBS: inner_BT.detach()})
    plain = replace(algorithm, policy_view=None)
    policy_loss(plain, batch, Normaliser.of(batch.mask_BT)).value.backward()
    assert relative(ours, gradients(model)) < 1e-6


def test_the_anchor_is_measured_once_and_kept_in_checkpoints() -> None:
    learner = make(tiny_model(num_hidden_layers=LAYERS), get("siren"))
    assert learner.current_algorithm().regularisers[0].anchor is None
    learner.update(random_forest(5))
    anchor = learner.current_algorithm().regularisers[0].anchor
    assert anchor > 0
    learner.update(random_forest(6))
    assert learner.current_algorithm().regularisers[0].anchor == anchor
    again = make(copy.deepcopy(learner.model), get("siren"))
    again.load_state_dict(learner.state_dict())
    assert again.current_algorithm() == learner.current_algorithm()
