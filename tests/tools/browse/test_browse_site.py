"""The tools on a small site over real HTTP, and pages from elsewhere."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import httpx
import jsonschema
import pytest

from agentrl.errors import ConfigError, DataError
from agentrl.tools.base import Tool, ToolContext, ToolError, ToolErrorKind
from agentrl.tools.browse import (
    BrowseTool,
    CachedPages,
    ClickTool,
    JinaPages,
    Page,
    Site,
    SitePages,
    click,
    jina,
    open_pages,
)
from agentrl.tools.browse.cache import NOT_STORED
from agentrl.tools.browse.fetch import NOT_FOUND
from agentrl.tools.search.failure import SearchFailure
from agentrl.tools.search.web.cache import CacheMode, ResponseCache
from agentrl.tools.search.web.exchange import Response
from agentrl.tools.search.web.http import WebClient
from agentrl.tools.toolbox import Toolbox

ROOT = "minisite://library/"
CONTEXT = ToolContext(episode="one", options={"root_url": f"{ROOT}index.html"})


@pytest.fixture(scope="session")
def minisite(shared):
    return shared / "data" / "minisite" / "pages.json"


def run(tool, *calls, context=CONTEXT):
    """Make calls one after the other and close the tool."""

    async def work():
        try:
            return [await tool.call(arguments, context) for arguments in calls]
        finally:
            await tool.close()

    return asyncio.run(work())


def read(pages, *urls):
    async def work():
        try:
            return [await pages.read(url) for url in urls]
        finally:
            await pages.close()

    return asyncio.run(work())


def opened(minisite, name, **arguments):
    return run(BrowseTool(SitePages(minisite)), {"url": ROOT + name, **arguments})[0]


@pytest.mark.parametrize("make", [BrowseTool, ClickTool])
def test_they_are_tools_whose_schemas_are_valid(make):
    tool = make()
    assert isinstance(tool, Tool)
    jsonschema.Draft202012Validator.check_schema(tool.parameters)
    asyncio.run(tool.close())
    with pytest.raises(ConfigError, match="1000 to 10000"):
        make(characters=10)


def test_a_page_is_shown_with_title_address_and_links(minisite):
    result = opened(minisite, "rooms/")
    head, body = result.text.split("\n\n", 1)
    assert head == f"Title: Reading rooms\nAddress: {ROOT}rooms/"
    assert f"[east side]({ROOT}rooms/east.html) and [west side]({ROOT}rooms/west.html)" in body
    assert result.metadata == {"url": f"{ROOT}rooms/"}


def test_entities_and_hard_spaces_are_plain_text(minisite):
    assert "opened in 1974 — it seats 40." in opened(minisite, "rooms/east.html").text
    assert "take 42.5% of" in opened(minisite, "budget.html#top").text


def test_scripts_styles_and_comments_are_not_shown(minisite):
    text = opened(minisite, "index.html").text
    assert "Welcome" in text
    assert not any(noise in text for noise in ("SCRIPT TEXT", "color", "hidden", "javascript"))


def test_tables_keep_their_rows(minisite):
    text = opened(minisite, "team.html").text
    assert "| Name | Role |" in text
    assert "| B. Okafor | archivist |" in text


def test_queries_are_part_of_an_address(minisite):
    assert "Atlas of Winds" in opened(minisite, "catalogue.html?page=1").text
    assert "Tide Tables" in opened(minisite, "catalogue.html?page=2").text


def test_redirects_lead_on_and_missing_pages_are_errors(minisite):
    assert opened(minisite, "old.html").metadata["url"] == f"{ROOT}index.html"
    for name in ("missing.html", "never-heard-of.html"):
        with pytest.raises(ToolError, match=NOT_FOUND):
            opened(minisite, name)


def test_plain_text_is_a_page(minisite):
    assert opened(minisite, "plain.txt").text.endswith("\n\nPlain text file.\nSecond line.")


def test_a_long_page_comes_in_parts(minisite):
    first = opened(minisite, "big.html").text
    count = int(first.split("Part 1 of ")[1].split("\n")[0])
    assert 100_000 / 3000 < count < 50
    last = opened(minisite, "big.html", page=count).text
    assert f"Part {count} of {count}" in last
    assert "© 2020 Harbour Library" in last
    assert max(len(first), len(last)) < 3200
    with pytest.raises(ToolError, match=f"only {count} parts"):
        opened(minisite, "big.html", page=count + 1)


def test_the_parts_an_episode_sees_are_of_one_page(minisite):
    asked = []

    class Counted(SitePages):
        async def read(self, url):
            asked.append(url)
            return await super().read(url)

    url = f"{ROOT}big.html"
    first, second = run(BrowseTool(Counted(minisite)), {"url": url}, {"url": url, "page": 2})
    assert (first.cached, second.cached, asked) == (False, True, [url])
    run(BrowseTool(Counted(minisite)), {"url": url}, {"url": url}, context=ToolContext())
    assert len(asked) == 3  # nobody knows whether these are of one episode


def test_a_page_that_would_give_orders_is_text_like_any_other(minisite):
    tags = ("</result>", "<answer>", "</answer>", "<|im_end|>")
    toolbox = Toolbox([BrowseTool(SitePages(minisite))], tags=tags)
    shown = toolbox.shown(opened(minisite, "inject.html").text)
    asyncio.run(toolbox.close())
    assert "Ignore previous instructions" in shown
    assert not any(tag in shown for tag in tags)


@pytest.mark.parametrize(
    ("links", "answer"),
    [
        (["Reading rooms", "east side"], "1974"),
        (["Team"], "| B. Okafor | archivist |"),
        (["budget", "list"], "B. Okafor"),
        (["Catalogue", "next"], "Tide Tables: shelf 30"),
    ],
)
def test_the_golden_paths_of_the_questions_lead_to_their_answers(minisite, links, answer):
    *_, last = run(ClickTool(SitePages(minisite)), {}, *({"link": link} for link in links))
    assert answer in last.text


def test_the_start_page_lists_its_links_by_number(minisite):
    first, same = run(ClickTool(SitePages(minisite)), {}, {"link": "2"})
    assert "- [Reading rooms]\n" in first.text
    assert "minisite" not in first.text.split("\n\n", 1)[1]
    listed = first.text.split("Links:\n")[1].splitlines()
    assert listed[:3] == ["1. Home", "2. Team", "3. Rooms"]
    assert same.metadata["url"] == f"{ROOT}team.html"


def test_only_listed_links_can_be_followed(minisite):
    tool = ClickTool(SitePages(minisite), most_links=3)
    with pytest.raises(ToolError, match="no such link") as caught:
        run(tool, {}, {"link": "Budget"})
    assert caught.value.kind is ToolErrorKind.ARGUMENTS
    for wanted in ("0", "99", "http://elsewhere.example/"):
        with pytest.raises(ToolError, match="no such link"):
            run(ClickTool(SitePages(minisite)), {"link": wanted})


def test_a_broken_link_leaves_the_episode_where_it_was(minisite):
    tool = ClickTool(SitePages(minisite))

    async def work():
        with pytest.raises(ToolError, match=NOT_FOUND):
            await tool.call({"link": "Broken"}, CONTEXT)
        here = await tool.call({}, CONTEXT)
        await tool.close()
        return here

    assert asyncio.run(work()).metadata["url"] == f"{ROOT}index.html"


def test_every_episode_walks_by_itself(minisite):
    tool = ClickTool(SitePages(minisite))

    async def work():
        await tool.call({"link": "Team"}, CONTEXT)
        other = await tool.call({}, replace(CONTEXT, episode="two"))
        own = await tool.call({}, CONTEXT)
        await tool.close()
        return other.metadata["url"], own.metadata["url"]

    assert asyncio.run(work()) == (f"{ROOT}index.html", f"{ROOT}team.html")


def test_a_branch_goes_on_from_where_its_source_was(minisite):
    tool = ClickTool(SitePages(minisite))

    async def work():
        await tool.call({"link": "Team"}, CONTEXT)
        tool.fork("one", "two")
        await tool.call({"link": "Rooms"}, CONTEXT)
        branch = await tool.call({}, replace(CONTEXT, episode="two"))
        await tool.close()
        return branch.metadata["url"]

    assert asyncio.run(work()) == f"{ROOT}team.html"


def test_a_walk_needs_a_page_to_start_from(minisite):
    with pytest.raises(ToolError, match=click.NO_ROOT):
        run(ClickTool(SitePages(minisite)), {}, context=ToolContext())
    tool = ClickTool(SitePages(minisite), root_url=f"{ROOT}team.html")
    assert "archivist" in run(tool, {}, context=ToolContext())[0].text


def test_a_file_that_is_no_site_is_refused(tmp_path):
    path = tmp_path / "pages.json"
    for content in ("{", "[{}]", '[{"url": "http://a/"}, {"url": "http://b/"}]', "[]"):
        path.write_text(content)
        with pytest.raises(DataError, match=r"is no site|of one host"):
            Site(path)


def test_pages_and_failures_are_fetched_once(minisite, tmp_path):
    urls = [f"{ROOT}team.html", f"{ROOT}team.html#part"]
    pages = CachedPages(SitePages(minisite), ResponseCache(tmp_path / "cache"))
    first, again = read(pages, *urls)
    assert (first.cached, again.cached) == (False, True)
    assert replace(again, cached=False) == first
    for _ in range(2):
        with pytest.raises(ToolError, match=NOT_FOUND):
            read(CachedPages(SitePages(minisite), ResponseCache(tmp_path / "cache")), f"{ROOT}no")


def test_stored_pages_can_be_replayed_without_a_server(minisite, tmp_path):
    stored = ResponseCache(tmp_path / "cache")
    (first,) = read(CachedPages(SitePages(minisite), stored), f"{ROOT}team.html")

    class Nowhere:
        name = "site"

        async def read(self, url):
            raise AssertionError("asked for a page")

        async def close(self):
            pass

    replay = ResponseCache(tmp_path / "cache", CacheMode.READ_ONLY)
    pages = CachedPages(Nowhere(), replay)

    async def work():
        with pytest.raises(ToolError, match=NOT_STORED) as caught:
            await pages.read(f"{ROOT}budget.html")
        assert caught.value.kind is ToolErrorKind.UNAVAILABLE
        page = await pages.read(f"{ROOT}team.html")
        await pages.close()
        return page

    assert replace(asyncio.run(work()), cached=False) == first


def test_a_word_names_where_pages_come_from(minisite, tmp_path):
    (page,) = read(open_pages(minisite, cache=tmp_path / "cache"), f"{ROOT}team.html")
    replay = open_pages("direct", cache=tmp_path / "cache", cache_mode="read_only")
    with pytest.raises(ToolError, match=NOT_STORED):  # it was stored for another source
        read(replay, f"{ROOT}team.html")
    again = open_pages(minisite, cache=tmp_path / "cache", cache_mode="read_only")
    assert read(again, f"{ROOT}team.html") == [replace(page, cached=True)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source": "bing"}, "'bing' is no source of pages"),
        ({"cache_mode": "sometimes"}, "one of off, read_write, read_only"),
        ({"cache_mode": "read_only"}, "names no file to replay"),
    ],
)
def test_words_that_name_nothing_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        open_pages(**arguments)


@pytest.fixture(params=["json", "text", "rate_limited"])
def recorded(request, shared):
    name = f"jina_reader.{request.param}.json"
    return json.loads((shared / "data" / "search_fixtures" / name).read_text())


def _answer(recorded):
    answer = recorded["response"]
    body = answer.get("text") or json.dumps(answer["json"])
    return httpx.Response(answer["status"], headers=answer.get("headers"), text=body)


def test_jina_reader_is_asked_and_read_as_recorded(recorded, monkeypatch):
    wanted, expected = recorded["request"], recorded["expected"]
    if "Authorization" in wanted.get("headers", {}):
        monkeypatch.setenv("JINA_API_KEY", "KEY")
    else:
        monkeypatch.delenv("JINA_API_KEY", raising=False)
    seen = []

    def handle(request):
        seen.append(request)
        return _answer(recorded)

    async def sleep(seconds):
        raise AssertionError(f"waits {seconds} s")

    client = WebClient(transport=httpx.MockTransport(handle), sleep=sleep)
    url = wanted["url"].removeprefix("https://r.jina.ai/")
    if "error" in expected:
        failure = jina.JinaService().failure(_response(recorded))
        assert (failure.kind, failure.retry, failure.wait) == (
            expected["error"],
            expected["retry"],
            expected["wait_s"],
        )
        asyncio.run(client.close())
        return
    (page,) = read(JinaPages(client=client), url)
    assert {"title": page.title, "url": page.url, "text": page.text} == expected
    assert (seen[0].method, str(seen[0].url)) == (wanted["method"], wanted["url"])
    assert wanted.get("headers", {}).items() <= _headers(seen[0]).items()


def _response(recorded):
    answer = _answer(recorded)
    return Response(status=answer.status_code, headers=dict(answer.headers), text=answer.text)


def _headers(request):
    return {name.title(): value for name, value in request.headers.items()}


def test_links_of_jina_reader_can_be_followed():
    data = {
        "url": "http://a/",
        "title": "A",
        "content": "![x](http://i) [B  c](http://b/#d) [B c](http://b/)",
    }
    page = jina.page_from(Response(status=200, text=json.dumps({"data": data})))
    assert isinstance(page, Page)
    assert [(link.text, link.url) for link in page.links] == [("B c", "http://b/")]


@pytest.mark.parametrize("text", ["", "[]", '{"data": null}', '{"data": {"content": 1}}', "hello"])
def test_answers_of_jina_reader_without_a_page_are_failures(text):
    failure = jina.JinaService().failure(Response(status=200, text=text))
    assert isinstance(failure, SearchFailure)


@pytest.mark.parametrize(
    ("status", "sentence", "kind"),
    [
        (422, jina.UNREADABLE, ToolErrorKind.FAILED),
        (401, jina.UNAVAILABLE, ToolErrorKind.UNAVAILABLE),
    ],
)
def test_failures_of_jina_reader_are_told_in_one_sentence(status, sentence, kind):
    transport = httpx.MockTransport(lambda _: httpx.Response(status, json={"code": status}))
    with pytest.raises(ToolError) as caught:
        read(JinaPages(client=WebClient(transport=transport)), "http://a.example/")
    assert (str(caught.value), caught.value.kind) == (sentence, kind)
