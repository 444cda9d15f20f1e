import itertools
import xml.etree.ElementTree as ElementTree

import pytest

from agentrl.training.axes import LINE
from agentrl.training.curves import BOTTOM, HEIGHT, TOP, Curve, Plot, document, plot, ticks


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


def rows_of_legend(svg):
    (legend,) = list(ElementTree.fromstring(svg).iter("g"))
    return [(text.attrib["y"], float(text.attrib["x"])) for text in legend.iter("text")]


def test_a_band_is_drawn_in_the_curves_own_colour_and_counts_for_the_axis():
    svg = plot([Curve("a", [(0, 1.0), (1, 2.0)], band=[(0, 0.0, 4.0), (1, 1.0, 9.0)])])
    root = ElementTree.fromstring(svg)
    (area,), (line,) = root.findall("polygon"), root.findall("polyline")
    assert len(area.attrib["points"].split()) == 4
    assert area.attrib["fill"] == line.attrib["stroke"]
    assert ">10</text>" in svg


def test_points_have_no_line_and_a_dashed_line_no_dots():
    cloud = ElementTree.fromstring(plot([Curve("a", [(0, 1), (1, 2)], style="points")]))
    assert len(cloud.findall("circle")) == 2 and not cloud.findall("polyline")
    dashed = ElementTree.fromstring(plot([Curve("a", [(0, 1), (1, 2)], style="dashed")]))
    assert not dashed.findall("circle")
    assert "stroke-dasharray" in dashed.findall("polyline")[0].attrib


def test_three_short_names_share_a_line_of_the_legend_and_more_take_further_lines():
    names = ["training rollouts", "training panel", "held-out panel"]
    three = rows_of_legend(plot([Curve(name, [(0, 1.0)]) for name in names]))
    assert len({y for y, _ in three}) == 1
    many = plot([Curve(f"method number {n}", [(0, 1.0)]) for n in range(10)])
    entries = rows_of_legend(many)
    lines = {y for y, _ in entries}
    assert len(lines) > 2
    for line in lines:
        starts = [x for y, x in entries if y == line]
        assert all(
            after - before > 6 * len("method number 1")
            for before, after in itertools.pairwise(starts)
        )
    height = float(ElementTree.fromstring(many).attrib["viewBox"].split()[3])
    assert height == HEIGHT + LINE * (len(lines) - 1)


def test_ten_curves_have_ten_colours_and_the_eleventh_is_dashed():
    svg = plot([Curve(f"{n}", [(0, n), (1, n)]) for n in range(11)])
    lines = ElementTree.fromstring(svg).findall("polyline")
    assert len({line.attrib["stroke"] for line in lines}) == 10
    assert ["stroke-dasharray" in line.attrib for line in lines] == [False] * 10 + [True]


def test_a_long_name_is_cut_at_the_edge():
    (text,) = [
        text.text
        for group in ElementTree.fromstring(plot([Curve("x" * 300, [(0, 1.0)])])).iter("g")
        for text in group.iter("text")
    ]
    assert text.endswith("…") and len(text) < 80


def test_values_beyond_given_bounds_stay_inside_the_axes():
    svg = plot([Curve("a", [(0, -5.0), (1, 7.0)])], bounds=(0.0, 1.0))
    (line,) = ElementTree.fromstring(svg).findall("polyline")
    heights = [float(point.split(",")[1]) for point in line.attrib["points"].split()]
    assert heights == [HEIGHT - BOTTOM, TOP]


@pytest.mark.parametrize(("low", "high"), [(0.0, 3e-9), (1e9, 1e9 + 40), (-2e-15, 1e-15)])
def test_ticks_of_very_small_and_very_large_ranges_differ(low, high):
    marks = ticks(low, high)
    assert len(set(marks)) == len(marks) > 2
    assert marks[0] <= low and marks[-1] >= high * (1 - 1e-12)


def test_a_document_holds_its_plots_side_by_side_as_a_file_of_its_own():
    one = Plot(curves=[Curve("a", [(0, 1.0), (1, 2.0)])], title="A & B", x_label="x", y_label="y")
    root = ElementTree.fromstring(document([one, one, one]))
    space = "{http://www.w3.org/2000/svg}"
    places = [group.attrib["transform"] for group in root.findall(f"{space}g")]
    assert places[0] == "translate(0 0)" and places[1].endswith(" 0)")
    assert float(root.attrib["width"]) == 2 * one.width + LINE
    assert not places[2].endswith(" 0)")
    assert "A &amp; B" in document([one])
