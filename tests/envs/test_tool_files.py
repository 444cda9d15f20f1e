"""Questions of files in tool environments: which are asked, where their searches go."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentrl.envs import TextEnv, env_class, make
from agentrl.errors import ConfigError, DataError, EnvironmentFailure, UnknownNameError
from agentrl.tools.search.index import Bm25Index
from agentrl.tools.search.searcher import LocalSearcher
from agentrl.tools.search.server import served
from agentrl.types import Task, TaskPanel

SEARCH_QA = "agentrl/SearchQA-v0"
TOWNS = {"Alba": "Rhine", "Birk": "Elbe", "Corva": "Danube", "Delm": "Oder"}


@pytest.fixture
def questions(tmp_path: Path) -> str:
    """Which river every town lies on, in the form of Search-R1's files."""
    rows = [
        {"id": town, "question": f"On which river is {town}?", "golden_answers": [river]}
        for town, river in TOWNS.items()
    ]
    return written(tmp_path / "questions.jsonl", rows)


@pytest.fixture
def corpus(tmp_path: Path) -> str:
    """A passage for each town."""
    rows = [
        {"id": f"{n}", "contents": f'"{town}"\n{town} is a town. It lies on the {river}.'}
        for n, (town, river) in enumerate(TOWNS.items())
    ]
    return written(tmp_path / "corpus.jsonl", rows)


def written(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def url(corpus: str) -> Iterator[str]:
    with served(LocalSearcher(Bm25Index.of(corpus)), topk=3) as address:
        yield address


def panel(split: str = "train", env_id: str = SEARCH_QA, **options: Any) -> TaskPanel:
    return env_class(env_id).panel(split, **options)


def started(task: Task) -> TextEnv:
    env = make(task.env_id)
    env.reset(seed=task.seed, options=dict(task.options))
    return env


def test_a_file_of_questions_is_answered_from_a_corpus(questions: str, corpus: str):
    tasks = panel(file=questions, corpus=corpus, topk=1)
    assert [task.id for task in tasks] == list(TOWNS)
    env = started(tasks[1])
    assert (
        env.step("search: Birk")[0] == 'Doc 1(Title: "Birk") Birk is a town. It lies on the Elbe.'
    )
    _, reward, terminated, _, info = env.step("answer: the Elbe")
    assert (reward, terminated, info["won"]) == (1.0, True, True)
    assert started(tasks[2]).step("answer: Elbe")[1] == 0.0


def test_three_passages_are_shown_and_long_results_are_cut_visibly(questions: str, corpus: str):
    env = started(panel(file=questions, corpus=corpus)[0])
    assert env.step("search: town")[0].count("Doc ") == 3
    env = started(panel(file=questions, corpus=corpus, max_characters=40)[0])
    shown = env.step("search: town")[0]
    assert len(shown) == 40 + len(" [...]") and shown.endswith(" [...]")


def test_four_searches_may_be_made(questions: str, corpus: str):
    env = started(panel(file=questions, corpus=corpus)[0])
    for number in range(4):
        assert env.step(f"search: town {number}")[4]["action_valid"]
    assert "give the answer now" in env.step("search: town")[0]


def test_a_server_finds_what_the_corpus_holds(questions: str, corpus: str, url: str):
    local, remote = (
        started(panel(file=questions, **{name: where})[0]).step("search: river of Delm")[0]
        for name, where in (("corpus", corpus), ("server", url))
    )
    assert local == remote and "Oder" in local


def test_a_server_that_is_down_ends_the_episode_as_a_failure(questions: str):
    env = started(panel(file=questions, server="http://127.0.0.1:9")[0])
    with pytest.raises(EnvironmentFailure, match="out of service"):
        env.step("search: Delm")


def test_where_a_corpus_lies_does_not_count_but_what_it_holds(
    questions: str, corpus: str, tmp_path: Path
):
    copy = tmp_path / "elsewhere.jsonl"
    shutil.copy(corpus, copy)
    here = panel(file=questions, corpus=corpus)
    assert panel(file=questions, corpus=str(copy), index=str(tmp_path / "i")).hash == here.hash
    assert panel(file=questions, corpus=str(tmp_path / "i")).hash == here.hash
    copy.write_text(copy.read_text().replace("Oder", "Main"))
    assert panel(file=questions, corpus=str(copy)).hash != here.hash


def test_a_share_of_one_file_is_held_out(questions: str, corpus: str):
    options: dict[str, Any] = {"file": questions, "corpus": corpus, "heldout_share": 0.25}
    train, heldout = (
        {task.id for task in panel(split, **options)} for split in ("train", "heldout")
    )
    assert train and heldout and not train & heldout and train | heldout == set(TOWNS)


def test_a_set_by_name_brings_its_splits(
    questions: str, corpus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "data" / "nq"
    folder.mkdir(parents=True)
    monkeypatch.setenv("AGENTRL_DATA", str(folder.parent))
    rows = Path(questions).read_text().splitlines(keepends=True)
    (folder / "train.jsonl").write_text("".join(rows[:3]))
    (folder / "dev.jsonl").write_text(rows[3])
    assert len(panel("train", file="nq_open", corpus=corpus)) == 3
    assert [t.id for t in panel("heldout", file="nq_open", corpus=corpus)] == ["Delm"]
    assert len(panel("heldout", file="nq", corpus=corpus, set_split="train", count=2)) == 2
    with pytest.raises(ConfigError, match="no split for a train panel"):
        panel("train", file="popqa", corpus=corpus)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "Given: none"),
        ({"corpus": "x", "server": "http://x"}, "`corpus` and `server`"),
        ({"corpus": "nowhere.jsonl"}, "There is no corpus"),
        ({"server": "localhost"}, "is an address"),
        ({"web": "altavista"}, "altavista"),
        ({"server": "http://x", "cache": "c"}, "`cache` goes with `web`"),
        ({"server": "http://x", "reward": "emm"}, "emm"),
        ({"server": "http://x", "topk": 0}, "topk"),
        ({"server": "http://x", "hops": [1]}, "hops"),
        ({"server": "http://x", "heldout_share": 1.5}, "heldout_share"),
        ({"server": "http://x", "form": "gaiaa"}, "gaiaa"),
        ({"server": "http://x", "file": "hotpot"}, "no question set"),
    ],
)
def test_wrong_options_of_files_are_refused_before_anything_runs(
    questions: str, options: dict[str, Any], message: str
):
    with pytest.raises((ConfigError, DataError, UnknownNameError), match=message):
        panel(**{"file": questions} | options)


def test_a_service_without_its_key_is_refused_before_anything_runs(
    questions: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("SERPER_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="SERPER_API_KEY"):
        panel(file=questions, web="serper")


def test_options_of_files_need_a_file():
    with pytest.raises(ConfigError, match="goes with `file`"):
        panel(heldout_share=0.1)
    with pytest.raises(UnknownNameError, match="corpus"):
        panel(corpus="x")


def test_hotpotqa_over_wikipedia_finds_supporting_passages(shared: Path):
    data = shared / "data/qa"
    tasks = panel(
        file=str(data / "hotpotqa_train100.jsonl"),
        form="hotpotqa",
        corpus=str(data / "wiki_passages.jsonl"),
    )
    titles = {
        row["id"]: row["supporting_titles"]
        for row in map(json.loads, (data / "hotpotqa_train100.jsonl").read_text().splitlines())
    }
    assert len(tasks) == len(titles)
    found = 0
    for task in tasks[:40]:
        shown = started(task).step(f"search: {task.options['question']}")[0]
        found += any(f'(Title: "{title}")' in shown for title in titles[task.id])
    assert found >= 30
