"""The search tool: what a model sees, what is remembered, and what failures become."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from agentrl.errors import ConfigError
from agentrl.tools.base import Tool, ToolCall, ToolContext, ToolError, ToolErrorKind, ToolResult
from agentrl.tools.search.failure import FailureKind, SearchFailure
from agentrl.tools.search.formats import FORMATS, format_named
from agentrl.tools.search.hit import SearchHit, joined_contents, split_contents
from agentrl.tools.search.tool import NOTHING_FOUND, UNAVAILABLE, SearchTool
from agentrl.tools.toolbox import Toolbox

HITS = [
    SearchHit(title="A", snippet="alpha beta", url="https://a.org", date="2024"),
    SearchHit(title='"B"', snippet="gamma", extra={"id": "7", "contents": '"""B"""\ngamma'}),
]


class Asked:
    """A searcher that notes its queries and gives hits, or raises."""

    name = "asked"

    def __init__(self, *, failure: FailureKind | None = None, hits: Sequence[SearchHit] = HITS):
        self.queries: list[str] = []
        self.failure, self.hits, self.closed = failure, hits, False

    async def search(self, query: str, k: int) -> Sequence[SearchHit]:
        self.queries.append(query)
        if self.failure:
            raise SearchFailure(self.failure, self.name, 500)
        return self.hits[:k]

    async def close(self) -> None:
        self.closed = True


def call(tool: SearchTool, *queries: str, episode: str = "e") -> list[ToolResult]:
    async def called() -> list[ToolResult]:
        context = ToolContext(episode=episode)
        return [await tool.call({"query": query}, context) for query in queries]

    return asyncio.run(called())


def test_it_is_a_tool_whose_hits_are_shown_as_search_r1_shows_them():
    tool = SearchTool(Asked())
    assert isinstance(tool, Tool)
    [result] = call(tool, "alien")
    assert result.text == 'Doc 1(Title: "A") alpha beta\nDoc 2(Title: """B""") gamma'
    assert result.metadata == {"backend": "asked", "hits": 2, "found": ["https://a.org", "7"]}


@pytest.mark.parametrize(
    ("style", "text"),
    [
        ("arpo", "Page 1: alpha beta\nPage 2: gamma"),
        ("links", '[1] A (2024)\nhttps://a.org\nalpha beta\n\n[2] "B"\ngamma'),
        ("skyrl", 'Doc 1: "A"\nalpha beta\nDoc 2: """B"""\ngamma'),
    ],
)
def test_other_styles(style, text):
    [result] = call(SearchTool(Asked(), style=style), "alien")
    assert result.text == text


def test_arpo_shows_each_text_once():
    assert FORMATS["arpo"]([HITS[0], HITS[0], HITS[1]]) == "Page 1: alpha beta\nPage 2: gamma"


def test_an_unknown_style_names_the_nearest():
    with pytest.raises(KeyError, match="Did you mean 'search_r1'"):
        format_named("searchr1")


def test_long_texts_are_cut_visibly_and_the_title_stays():
    [result] = call(SearchTool(Asked(), characters=3), "alien")
    assert result.text == 'Doc 1(Title: "A") alp...\nDoc 2(Title: """B""") gam...'
    [result] = call(SearchTool(Asked(), characters=10, topk=1), "alien")
    assert result.text == 'Doc 1(Title: "A") alpha beta'


def test_the_same_query_in_one_episode_is_answered_from_memory():
    searcher = Asked()
    tool = SearchTool(searcher)
    first, again, other = call(tool, "C++", " C++ ", "c")
    assert searcher.queries == ["C++", "c"]
    assert (first.cached, again.cached, other.cached) == (False, True, False)
    assert again.text == first.text
    [elsewhere] = call(tool, "C++", episode="f")
    assert not elsewhere.cached
    assert not any(result.cached for result in call(tool, "C++", "C++", episode=""))


def test_a_forked_episode_remembers_what_was_asked_before():
    tool = SearchTool(Asked())
    call(tool, "C++", episode="a")
    tool.fork("a", "b")
    assert call(tool, "C++", episode="b")[0].cached
    assert not call(tool, "c", episode="b")[0].cached


def test_a_failure_is_not_remembered():
    searcher = Asked(failure=FailureKind.TIMEOUT)
    tool = SearchTool(searcher)
    with pytest.raises(ToolError):
        call(tool, "alien")
    searcher.failure = None
    assert not call(tool, "alien")[0].cached


@pytest.mark.parametrize("kind", [kind for kind in FailureKind if kind != "bad_request"])
def test_a_service_that_gives_no_answer_is_unavailable_in_fixed_words(kind):
    box = Toolbox([SearchTool(Asked(failure=kind))])
    [result] = asyncio.run(
        box.run([ToolCall(name="search", arguments={"query": "alien"})], ToolContext())
    )
    assert (result.text, result.error) == (UNAVAILABLE, ToolErrorKind.UNAVAILABLE)


def test_a_query_that_is_refused_is_the_model_s_doing():
    with pytest.raises(ToolError, match="does not accept this query") as caught:
        call(SearchTool(Asked(failure=FailureKind.BAD_REQUEST)), "alien")
    assert caught.value.kind is ToolErrorKind.FAILED
    with pytest.raises(ToolError, match="empty") as caught:
        call(SearchTool(Asked()), "  \n")
    assert caught.value.kind is ToolErrorKind.ARGUMENTS


def test_nothing_found_is_a_result():
    [result] = call(SearchTool(Asked(hits=[])), "alien")
    assert (result.text, result.ok) == (NOTHING_FOUND, True)


@pytest.mark.parametrize("arguments", [{}, {"query": 3}, {"query": "x", "k": 9}])
def test_arguments_that_do_not_fit_are_refused(arguments):
    box = Toolbox([SearchTool(Asked())])
    [result] = asyncio.run(box.run([ToolCall(name="search", arguments=arguments)], ToolContext()))
    assert result.error is ToolErrorKind.ARGUMENTS


def test_the_searcher_is_closed_with_the_tool():
    searcher = Asked()
    asyncio.run(SearchTool(searcher).close())
    assert searcher.closed


def test_settings_are_checked():
    with pytest.raises(ConfigError, match="1 is the least"):
        SearchTool(Asked(), topk=0)


@pytest.mark.parametrize("title", ["", "A", 'a "b" c', '"', "日本", '""'])
def test_title_and_text_survive_the_form_of_the_corpus(title):
    assert split_contents(joined_contents(title, "x\n\ny")) == (title, "x\n\ny")
