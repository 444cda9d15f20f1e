import xml.etree.ElementTree as ElementTree

import pytest

from agentrl.training.curves import Curve, plot, ticks


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.0, 1.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]), (3.0, 17.0, [0, 5, 10, 15, 20])],
)
def test_ticks_are_round_and_enclose_the_range(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


def test_a_plot_is_well_formed_and_keeps_every_point():
    svg = plot([Curve("a < b", [(0, 1.0), (1, 2.0), (2, 1.5)]), Curve("empty", [])])
    root = ElementTree.fromstring(svg)
    (line,) = root.findall("polyline")
    assert len(line.attrib["points"].split()) == 3


def test_constant_and_missing_data_are_drawn_without_error():
    ElementTree.fromstring(plot([Curve("flat", [(0, 1.0), (1, 1.0)])]))
    assert "no data" in plot([Curve("empty", [])])


def test_bounds_fix_the_axis():
    svg = plot([Curve("a", [(0, 0.4), (1, 0.5)])], bounds=(0.0, 1.0))
    assert ">0</text>" in svg and ">1</text>" in svg
