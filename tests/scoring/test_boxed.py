"""Boxes and tags are found as the official rewards find them."""

from __future__ import annotations

import pytest

from agentrl.scoring.boxed import content_of, last_box, last_boxed
from agentrl.scoring.tags import blocks, last_block


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("\\boxed{1} or \\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        ("\\boxed{\\boxed{3}}", "3"),
        ("\\boxed{}", ""),
        ("\\boxed{1} \\boxed{2", None),
        ("\\boxed {1}", None),
        ("\\fbox{1}", None),
        ("", None),
    ],
)
def test_the_last_box_counts_even_if_it_is_not_closed(text, content):
    assert last_boxed(text) == content


def test_escaped_braces_count_officially_and_not_in_latex():
    half_open = "\\boxed{x = \\left\\{ 1 \\right.}"
    assert last_boxed(half_open) is None
    assert last_boxed(half_open, skip_escaped=True) == "x = \\left\\{ 1 \\right."
    assert last_boxed("\\boxed{a \\\\}", skip_escaped=True) == "a \\\\"
    assert last_boxed("\\boxed{a\\}") == "a\\"


@pytest.mark.parametrize(
    ("text", "box", "content"),
    [
        ("\\boxed{5}", "\\boxed{5}", "5"),
        ("$\\boxed 5$ tail", "\\boxed 5", "5"),
        ("\\boxed{1} and \\boxed 5", "\\boxed 5", "5"),
        ("\\fbox{2}", "\\fbox{2}", None),
        ("\\fbox{2}\\boxed{1}\\fbox{3}", "\\boxed{1}", "1"),
        ("\\boxed[5]", None, None),
    ],
)
def test_the_older_reading_knows_more_kinds_of_boxes(text, box, content):
    assert last_box(text) == box
    assert (content_of(box) if box else None) == content


def test_blocks_do_not_overlap():
    assert list(blocks("<a>1<a>2</a>3</a><a>4</a><a>5", "a")) == ["1<a>2", "4"]
    assert last_block("<a> x\n</a>", "a") == "x"
    assert last_block("</a><a>", "a") is None
