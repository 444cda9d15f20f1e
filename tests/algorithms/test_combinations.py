"""Every transform of the library with every base advantage of the library."""

from __future__ import annotations

import itertools

import pytest
import torch

from agentrl.algorithms import Algorithm, Normaliser, estimate_advantages, get, names, policy_loss
from agentrl.algorithms.advantages.pass_at_k import BestMinusSecond, PassAtK
from agentrl.algorithms.advantages.risk import RiskOverBundles
from agentrl.algorithms.advantages.tokens import Whiten
from agentrl.errors import ConfigError
from tests.algorithms.conftest import build

SETTINGS = {
    "bnpo": {"high": 2.0},  # the returns of the batch lie in [0, 2]
    "passk": {"component": "success", "k": 2},  # the returns are not all 0 or 1
}
REFUSED = {
    (base, Whiten): "they scale themselves" for base in (PassAtK, BestMinusSecond, RiskOverBundles)
}


def members():
    """Return the different base advantages and transforms that registered methods use."""
    methods = [get(name, **SETTINGS.get(name, {})) for name in names()]
    bases = {method.advantage: None for method in methods}
    bases[BestMinusSecond()] = None
    transforms = {step: None for method in methods for step in method.transforms}
    return list(bases), list(transforms)


BASES, TRANSFORMS = members()


def label(slot):
    return type(slot).__name__


@pytest.mark.parametrize("transform", TRANSFORMS, ids=label)
@pytest.mark.parametrize("base", BASES, ids=label)
def test_transform_and_base_go_together(base, transform):
    if (type(base), type(transform)) in REFUSED:
        with pytest.raises(ConfigError, match=type(transform).__name__):
            Algorithm(name="test", advantage=base, transforms=(transform,))
        return
    algorithm = Algorithm(name="test", advantage=base, transforms=(transform,))
    batch = estimate_advantages(algorithm, build(requires=algorithm.requires))
    assert torch.isfinite(batch.advantages).all()
    assert (batch.advantages[~batch.valid_BT] == 0).all()
    assert torch.isfinite(policy_loss(algorithm, batch, Normaliser.of(batch.mask_BT)).value)


@pytest.mark.parametrize(
    "pair", itertools.permutations(TRANSFORMS, 2), ids=lambda p: "-".join(map(label, p))
)
def test_two_transforms_follow_each_other(pair):
    base = get("grpo").advantage
    algorithm = Algorithm(name="test", advantage=base, transforms=pair)
    batch = estimate_advantages(algorithm, build(requires=algorithm.requires))
    assert torch.isfinite(batch.advantages).all()
    assert (batch.advantages[~batch.valid_BT] == 0).all()
