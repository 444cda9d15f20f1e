"""HTML as readable text, and long texts in parts."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.tools.browse.page import Link, part
from agentrl.tools.browse.text import read_html

HOME = "http://site.example/docs/index.html"


def text(html):
    return read_html(html, HOME).text


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<h1>One</h1><h3>Two</h3>three", "# One\n### Two\nthree"),
        ("<p>a  \n b<p>c<br>d<div>e</div>f", "a b\nc\nd\ne\nf"),
        ("a<b>b</b> c<i> d</i>", "ab c d"),
        ("in&nbsp;1974 &mdash; 42.5&#37; &lt;b&gt; caf\u00e9", "in 1974 — 42.5% <b> caf\u00e9"),
        ("<ul><li>a<li>b</ul><ol><li>c</li><li>d</li></ol>", "- a\n- b\n1. c\n2. d"),
        ("<ol><li>a<ul><li>b</ul><li>c</ol>", "1. a\n- b\n2. c"),
        ("<pre>def f():\n    return 1\n</pre>x", "def f():\n    return 1\nx"),
        ("a<!-- hidden -->b<script>if (1 < 2) {'<p>'}</script>c<style>p{}</style>", "abc"),
        ("a<noscript>b<p>c</noscript><template><p>d</template><svg><title>e</title></svg>f", "af"),
        ("<img alt='A map'> of <img src=x>", "A map of"),
        ("<p></p><h2></h2><ul><li></ul>x", "x"),
        ("", ""),
        ("1 < 2 && 3 > 2", "1 < 2 && 3 > 2"),
    ],
)
def test_html_reads_like_what_a_browser_shows(html, expected):
    assert text(html) == expected


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<tr><th>a<th>b<tr><td>c<td>d", "| a | b |\n| c | d |"),
        ("<thead><tr><th>a</th><th></th></tr></thead>", "| a |  |"),
        ("<tr><td><p>a</p><td> b </td></tr>", "| a | b |"),
        ("<tr><td><h2>Menu</h2><p>x</p></td><td>y</td></tr>", "## Menu\nx\ny"),
        ("<tr><td>1<table><tr><td>in<td>ner</table></td></tr>", "1\n| in | ner |"),
        ("<caption>c</caption><tr><td>only</td></tr>", "c\nonly"),
        ("<tr><td></td><td></td></tr>", ""),
    ],
)
def test_rows_of_data_stay_rows_and_tables_for_layout_become_lines(html, expected):
    assert text(f"a<table>{html}</table>b") == "\n".join(filter(None, ["a", expected, "b"]))


@pytest.mark.parametrize(
    ("href", "url"),
    [
        ("other.html", "http://site.example/docs/other.html"),
        ("./a/../b.html", "http://site.example/docs/b.html"),
        ("/top", "http://site.example/top"),
        ("?page=2", "http://site.example/docs/index.html?page=2"),
        ("b.html#part", "http://site.example/docs/b.html"),
        ("//cdn.example/x", "http://cdn.example/x"),
        (" https://b.example/ ", "https://b.example/"),
    ],
)
def test_links_lead_to_absolute_addresses(href, url):
    page = read_html(f"<a href='{href}'>There</a>", HOME)
    assert page.text == f"[There]({url})"
    assert page.links == (Link("There", url),)


@pytest.mark.parametrize("href", ["mailto:x@y.z", "javascript:void(0)", "#top", "", "http://[x"])
def test_what_leads_to_no_page_is_plain_text(href):
    page = read_html(f"<a href='{href}'>There</a>", HOME)
    assert (page.text, page.links) == ("There", ())


def test_a_link_is_one_line_whatever_it_holds():
    html = "see<a href=x> <div>A <b>bold</b><p>card</p></div></a>now<a href=y><img alt=Logo></a>"
    root = "http://site.example/docs"
    assert text(html) == f"see [A bold card]({root}/x) now [Logo]({root}/y)"
    assert text("<a href=x>one<a href=y>two") == f"[one]({root}/x)[two]({root}/y)"
    assert text("<a href=x></a>nothing") == "nothing"


def test_every_link_is_listed_once():
    page = read_html("<a href=x>one</a><a href=x#b>one</a><a href=x>two</a><a href=y>one</a>", HOME)
    assert [link.text for link in page.links] == ["one", "two", "one"]


def test_title_and_base_are_those_of_the_page():
    page = read_html("<title> A &amp;\nB</title><base href='http://b.example/c/'><a href=d>e", HOME)
    assert page.title == "A & B"
    assert page.links[0].url == "http://b.example/c/d"
    assert read_html("<title>never closed<body>text", HOME).text.endswith("text")


@given(
    st.lists(
        st.sampled_from(
            [
                "<td>",
                "<tr>",
                "<table>",
                "</table>",
                "</td>",
                "</tr>",
                "<a>",
                "<a href=x>",
                "</a>",
                "<p>",
                "<pre>",
                "</pre>",
                "<ol>",
                "<li>",
                "</ol>",
                "</b>",
                "<b",
                "\n",
            ]
        )
    )
)
def test_broken_html_loses_no_words(tags):
    html = "".join(f"{tag}w{n} " for n, tag in enumerate(tags) if tag != "<b")
    words = read_html(html, HOME).text
    assert all(f"w{n}" in words for n, tag in enumerate(tags) if tag != "<b")


@given(st.text(st.sampled_from("ab \n"), max_size=200), st.integers(5, 50))
def test_parts_hold_all_of_a_text_and_are_never_too_long(whole, size):
    _, count = part(whole, 1, size)
    parts = [part(whole, number, size)[0] for number in range(1, count + 1)]
    assert all(len(piece) <= size for piece in parts)
    assert "".join("".join(parts).split()) == "".join(whole.split())
    assert part(whole, count + 1, size) == ("", count)
    assert part(whole, 0, size) == ("", count)


@pytest.mark.parametrize(
    "piece", ["<!", "<!--", "<a ", "<a href='", "<table><tr><td>", "<script>", "&", "</", "<?"]
)
def test_html_made_to_be_slow_is_not(piece):
    started = time.monotonic()
    assert read_html("before" + piece * 100_000, HOME).text.startswith("before")
    assert time.monotonic() - started < 10  # minutes where every piece is looked for to the end


def test_parts_end_at_lines_and_words():
    assert part("one two three four five", 1, 20) == ("one two three four", 2)
    assert part("one two three four five", 2, 20) == ("five", 2)
    assert part("one two three fo\nur five", 1, 20) == ("one two three fo", 2)
