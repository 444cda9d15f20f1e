"""The local index: its hits are those of the formula, ties and words included, in any process."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.errors import ConfigError, DataError
from agentrl.tools.search.index import META, Bm25Index, Bm25Settings, words
from agentrl.tools.search.passages import Passage, read_passages
from agentrl.tools.search.ranking import best

TEXTS = [
    '"Paris"\nParis is the capital of France.',
    '"Lyon"\nLyon is a city in France, and no capital.',
    '"Light"\nLight is radiation; its speed is 299,792,458 m/s.',
    '"Same"\nOne two three.',
    '"Same"\nOne two three.',
]


def passages(texts: list[str]) -> list[Passage]:
    return [Passage(id=f"p{number}", contents=text) for number, text in enumerate(texts)]


@pytest.fixture
def index(tmp_path: Path) -> Bm25Index:
    return Bm25Index.build(passages(TEXTS), tmp_path / "index")


def ids(index: Bm25Index, query: str, k: int = 3) -> list[str]:
    return [hit.extra["id"] for hit in index.search(query, k)]


def by_formula(texts: list[str], query: str, k1: float = 1.2, b: float = 0.75) -> list[float]:
    """Lucene's BM25, word by word."""
    documents = [Counter(words(text)) for text in texts]
    mean = sum(sum(document.values()) for document in documents) / len(documents)
    scores = [0.0] * len(texts)
    for word in words(query):
        df = sum(word in document for document in documents)
        idf = math.log(1 + (len(texts) - df + 0.5) / (df + 0.5))
        for number, document in enumerate(documents):
            norm = k1 * (1 - b + b * sum(document.values()) / mean)
            scores[number] += idf * document[word] / (document[word] + norm)
    return scores


@pytest.mark.parametrize("query", ["capital of France", "France France", "speed light", "zzz", ""])
def test_scores_follow_the_formula(index, query):
    assert index.scores(query).tolist() == pytest.approx(by_formula(TEXTS, query), abs=1e-5)


def test_words_are_lower_case_unicode_and_two_letters_or_more():
    assert words("Zürich: a C++ café, 東京 x1 don't") == ["zürich", "café", "東京", "x1", "don"]


def test_hits_are_passages_with_title_text_and_id(index):
    [hit] = index.search("radiation", 1)
    assert (hit.title, hit.url, hit.source) == ("Light", None, "local")
    assert hit.snippet == "Light is radiation; its speed is 299,792,458 m/s."
    assert hit.extra == {"id": "p2", "contents": TEXTS[2]} and hit.contents == TEXTS[2]
    assert hit.score == pytest.approx(by_formula(TEXTS, "radiation")[2])


def test_ties_come_in_the_order_of_the_corpus_and_misses_do_not_come(index):
    assert ids(index, "one two") == ["p3", "p4"]
    assert ids(index, "one two", 1) == ["p3"]
    assert ids(index, "nothing here matches anything zzz") == []
    assert ids(index, "") == []


@given(st.lists(st.integers(-3, 3), max_size=40), st.integers(1, 45))
def test_the_best_are_those_of_a_full_stable_sort(values, k):
    scores = np.array(values, np.float32)
    full = sorted(range(len(values)), key=lambda place: (-values[place], place))
    assert best(scores, k) == full[:k]
    assert best(scores, k, above=0.0) == [place for place in full if values[place] > 0][:k]


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_corpus_is_indexed_once_and_a_change_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setenv("AGENTRL_CACHE", str(tmp_path / "cache"))
    corpus = write(tmp_path / "c.jsonl", {"id": 7, "contents": '"A"\nalpha'}, {"text": "beta"})
    first = Bm25Index.of(corpus)
    made = (first.folder / META).stat().st_mtime_ns
    assert ids(first, "alpha") == ["7"] and ids(first, "beta") == ["1"]
    assert (Bm25Index.of(corpus).folder / META).stat().st_mtime_ns == made
    assert Bm25Index.of(corpus, settings=Bm25Settings(k1=2.0)).folder != first.folder
    named = tmp_path / "named"
    Bm25Index.of(corpus, named)
    write(corpus, {"contents": '"A"\ngamma'})
    assert ids(Bm25Index.of(corpus), "gamma") == ["0"]
    with pytest.raises(DataError, match="index of another corpus"):
        Bm25Index.of(corpus, named)


@pytest.mark.parametrize(
    ("line", "problem"),
    [("{", "Line 2"), ("[]", "it is not an object"), ('{"id": "1"}', "neither a text")],
)
def test_a_damaged_corpus_names_the_line(tmp_path, line, problem):
    corpus = tmp_path / "c.jsonl"
    corpus.write_text('{"contents": "alpha"}\n' + line + "\n")
    with pytest.raises(DataError, match=problem):
        Bm25Index.of(corpus, tmp_path / "index")
    assert not (tmp_path / "index").exists()


def test_only_line_feeds_end_a_passage(tmp_path):
    corpus = tmp_path / "c.jsonl"
    corpus.write_text('{"contents": "alpha\u2028beta"}\n\n{"title": "a \\"b\\"", "text": "c"}\n')
    first, second = read_passages(corpus)
    assert first.contents == "alpha\u2028beta"
    assert second == Passage(id="1", contents='"a ""b"""\nc')
    assert second.hit(1.0).title == 'a "b"'


def test_what_is_no_index_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no search index"):
        Bm25Index(tmp_path)
    with pytest.raises(DataError, match="cannot be read"):
        Bm25Index.of(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="nothing to search"):
        Bm25Index.build(passages(["a", "!"]), tmp_path / "empty")
    (tmp_path / META).write_text('{"format": 0}')
    with pytest.raises(DataError, match="has format 0"):
        Bm25Index(tmp_path)


@pytest.mark.parametrize("settings", [{"k1": -1}, {"b": 2}, {"method": "tfidf"}])
def test_settings_are_checked(settings):
    with pytest.raises(ConfigError):
        Bm25Settings(**settings)


def _asked(index: Bm25Index, answers: multiprocessing.Queue[list[str]]) -> None:
    answers.put(ids(index, "capital of France"))


def test_other_processes_and_threads_find_the_same(index):
    expected = ids(index, "capital of France")
    assert ids(pickle.loads(pickle.dumps(index)), "capital of France") == expected
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    process = context.Process(target=_asked, args=(index, answers))
    process.start()
    assert answers.get(timeout=60) == expected
    process.join(60)
    answers.close()
    answers.join_thread()
    found: list[list[str]] = []
    threads = [
        threading.Thread(
            target=lambda: found.extend(ids(index, "capital of France") for _ in range(20))
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [expected] * 160


def test_no_array_of_an_index_is_a_copy_of_its_own(index):
    arrays = [*index._bm25.scores.values(), index._word_ids]
    arrays = [array for array in arrays if isinstance(array, np.ndarray)]
    assert len(arrays) == 4
    assert all(isinstance(array, np.memmap) or array.base is not None for array in arrays)


def test_jax_is_not_started_where_it_is_installed(tmp_path):
    (tmp_path / "jax").mkdir()
    (tmp_path / "jax" / "__init__.py").write_text("raise SystemExit('JAX was imported')")
    code = "from agentrl.tools.search.index import _bm25s; print(_bm25s().__name__)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.stdout.strip(), done.stderr) == ("bm25s", "")


FLOORS = {
    "hotpotqa_dev500": {1: 0.381, 3: 0.656, 5: 0.752, 10: 0.889},
    "hotpotqa_train100": {1: 0.388, 3: 0.656, 5: 0.725, 10: 0.831},
    "musique_train100": {1: 0.297, 3: 0.454, 5: 0.518, 10: 0.576},
}


@pytest.fixture(scope="session")
def wikipedia(shared: Path) -> Bm25Index:
    """The index of 13,838 passages; all processes of a test run make it once."""
    return Bm25Index.of(shared / "data" / "qa" / "wiki_passages.jsonl")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(FLOORS))
def test_supporting_passages_are_found_as_often_as_measured(shared, wikipedia, name):
    lines = (shared / "data" / "qa" / f"{name}.jsonl").read_text().split("\n")
    rows = [json.loads(line) for line in lines if line]
    for k, floor in FLOORS[name].items():
        shares = []
        for row in rows:
            wanted = set(row["supporting_ids"])
            shares.append(len(wanted & set(ids(wikipedia, row["question"], k))) / len(wanted))
        assert sum(shares) / len(shares) >= floor - 0.01, f"R@{k}"
