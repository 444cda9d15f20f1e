"""The radix tree finds what comparing with every sequence finds."""

from __future__ import annotations

import random

import pytest

from agentrl.engines.embedded.index import PrefixIndex
from agentrl.engines.embedded.sequence import CachedSequence


def sequence_of(tokens, computed=None):
    sequence = CachedSequence(list(tokens), slot=0)
    sequence.computed = len(tokens) if computed is None else computed
    return sequence


def index_of(*sequences):
    index = PrefixIndex(lambda sequence: sequence.computed)
    for sequence in sequences:
        index.add(sequence)
    return index


def shared(sequence, tokens, limit):
    """Tokens in common, by a plain loop."""
    count = 0
    for left, right in zip(sequence.tokens[: sequence.computed], tokens[:limit], strict=False):
        if left != right:
            break
        count += 1
    return count


def random_tokens(draw, known):
    """Often the beginning of a known sequence, from a small alphabet, so that much is shared."""
    base = draw.choice(known).tokens if known and draw.random() < 0.7 else []
    return base[: draw.randint(0, len(base))] + [
        draw.randrange(3) for _ in range(draw.randint(1, 6))
    ]


@pytest.mark.parametrize("seed", range(30))
def test_it_finds_what_a_plain_loop_finds_while_sequences_come_grow_and_go(seed):
    draw = random.Random(seed)
    index, known = index_of(), []
    for _ in range(300):
        event = draw.random()
        if event < 0.4 or not known:
            tokens = random_tokens(draw, known)
            known.append(sequence_of(tokens, draw.randint(0, len(tokens))))
            index.add(known[-1])
        elif event < 0.6:
            index.discard(known.pop(draw.randrange(len(known))))
        else:
            sequence = draw.choice(known)
            sequence.tokens += [draw.randrange(3) for _ in range(draw.randint(0, 3))]
            sequence.computed = draw.randint(sequence.computed, len(sequence.tokens))
            index.grew(sequence)
        prompt = random_tokens(draw, known)
        limit = draw.randint(0, len(prompt))
        source, length = index.longest(prompt, limit)
        assert length == max((shared(other, prompt, limit) for other in known), default=0)
        assert (source is None) == (length == 0)
        if source is not None:
            assert source in known and shared(source, prompt, limit) == length
        found = list(index.beginning_with(prompt, limit))
        assert len(set(found)) == len(found)
        assert set(found) == {other for other in known if shared(other, prompt, limit) == limit}


def test_taking_everything_out_leaves_nothing_behind():
    draw = random.Random(0)
    known = []
    for _ in range(50):
        known.append(sequence_of(random_tokens(draw, known)))
    index = index_of(*known)
    draw.shuffle(known)
    for sequence in known:
        index.discard(sequence)
        index.discard(sequence)  # once more does no harm
    assert not index._root.below and not index._root.ended and not index._above


def test_of_several_the_one_that_ends_there_comes_first():
    longer, ends, other = sequence_of([1, 2, 3, 4]), sequence_of([1, 2, 3]), sequence_of([1, 2, 9])
    index = index_of(longer, ends, other)
    assert index.longest([1, 2, 3, 7], 4) == (ends, 3)
    assert index.longest([1, 2, 9, 5], 4) == (other, 3)
    assert index.longest([1, 2, 3, 4, 5], 5) == (longer, 4)
    assert index.longest([5], 1) == (None, 0)


def test_a_growing_sequence_costs_nothing_once_it_has_parted_from_the_others():
    growing = sequence_of([1, 2], computed=2)
    index = index_of(growing, sequence_of([1, 7]))
    (before,) = index._root.below.values()
    for token in range(200):
        growing.tokens.append(token)
        growing.computed += 1
        index.grew(growing)
    assert list(index._root.below.values()) == [before]
    assert index.longest([1, 2, *range(300)], 302) == (growing, 202)


def test_finding_compares_with_few_sequences_however_many_there_are(monkeypatch):
    from agentrl.engines.embedded import index as module

    draw = random.Random(1)
    header = [7] * 40
    index = index_of(
        *(sequence_of(header + [draw.randrange(500) for _ in range(50)]) for _ in range(2000))
    )
    calls = []
    compare = module.common_length

    def counting(*arguments):
        calls.append(arguments)
        return compare(*arguments)

    monkeypatch.setattr(module, "common_length", counting)
    assert index.longest([*header, 999], 41)[1] == 40
    assert len(calls) < 5
