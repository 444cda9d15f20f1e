"""Loading question sets: every published form gives the same rows, damage is named."""

from __future__ import annotations

import csv
import json

import pytest
from question_files import GAIA_ROWS, write_lines

from agentrl.envs.questions import FORMS, Selection, load_questions
from agentrl.errors import ConfigError, DataError, MissingExtraError, UnknownNameError


def test_gaia_reads_from_lines_and_from_a_list_with_other_names(tmp_path):
    lines = write_lines(tmp_path / "2023" / "validation" / "metadata.jsonl", GAIA_ROWS)
    (lines.parent / "table.csv").write_text("a\n1\n")
    found = load_questions("gaia", data_dir=tmp_path)
    assert [row.id for row in found] == ["g-0", "g-1", "g-2", "g-3"]
    assert found.counts("level") == {"1": 2, "2": 1, "3": 1}
    assert found.questions[1].file == str(lines.parent / "table.csv")
    assert found.questions[0].answers == ("0",)
    renamed = [
        {
            "task_id": row["task_id"],
            "question": row["Question"],
            "task": str(row["Level"]),
            "answer": row["Final answer"],
            "file_path": row["file_name"] and f"2023/validation/{row['file_name']}",
        }
        for row in GAIA_ROWS
    ]
    copy = lines.parent / "copy.json"
    copy.write_text(json.dumps(renamed))
    same = load_questions("gaia", path=copy)
    assert same.hash == found.hash
    assert [(row.level, row.file) for row in same] == [(row.level, row.file) for row in found]


def test_hidden_answers_and_missing_attachments_are_said(tmp_path):
    rows = [{**row, "Final answer": "?"} for row in GAIA_ROWS]
    write_lines(tmp_path / "test" / "metadata.jsonl", rows)
    found = load_questions("gaia", split="test", data_dir=tmp_path)
    assert all(row.answers == () for row in found)
    assert "4 answers are hidden" in found.summary()
    assert "1 attachments are missing" in found.summary()


@pytest.mark.parametrize("name", ["ids.txt", "ids.json", "rows.jsonl"])
def test_a_list_of_ids_chooses_a_subset_in_the_order_of_the_set(tmp_path, name):
    path = write_lines(tmp_path / "rows" / "metadata.jsonl", GAIA_ROWS)
    ids = tmp_path / name
    text = {
        "ids.txt": "g-3\ng-1\n",
        "ids.json": '["g-3", "g-1"]',
        "rows.jsonl": '{"id": 0, "task_id": "g-3"}\n{"id": 1, "task_id": "g-1"}\n',
    }
    ids.write_text(text[name])
    found = load_questions("gaia", path=path, selection=Selection(ids=ids))
    assert [row.id for row in found] == ["g-1", "g-3"]
    assert found.label == f"gaia/validation/{ids.stem}"
    ids.write_text(ids.read_text().replace("g-3", "g-99"))
    with pytest.raises(DataError, match="not in the set: g-99"):
        load_questions("gaia", path=path, selection=Selection(ids=ids))


def test_levels_and_a_limit_choose_a_subset(tmp_path):
    path = write_lines(tmp_path / "metadata.jsonl", GAIA_ROWS)
    chosen = Selection(levels=("1", "3"), limit=2)
    found = load_questions("gaia", path=path, selection=chosen)
    assert ([row.id for row in found], found.subset) == (["g-0", "g-1"], "level1+3-first2")
    with pytest.raises(ConfigError, match="no level '4'; the set has 1, 2, 3"):
        load_questions("gaia", path=path, selection=Selection(levels=("4",)))


def test_the_published_size_is_recognised(tmp_path):
    levels = [1] * 39 + [2] * 52 + [3] * 12
    rows = [
        {"task_id": str(n), "Question": f"q{n}", "Level": level, "Final answer": "x"}
        for n, level in enumerate(levels)
    ]
    path = write_lines(tmp_path / "m.jsonl", rows)
    assert "size as published (text-only validation)" in load_questions("gaia", path=path).remarks
    write_lines(path, [{**row, "Level": 1} for row in rows])
    assert "size differs" in load_questions("gaia", path=path).remarks[0]


def test_both_spellings_of_webwalkerqa_are_one(tmp_path):
    info = {"domain": "Game", "lang": "en", "difficulty_level": "Easy", "type": "multi_source"}
    one = {"question": "Q?", "answer": "A", "root_url": "http://a", "info": info}
    two = {
        "Question": "Q?",
        "Answer": "A",
        "Root_Url": "http://a",
        "Info": {
            "Domain": "game",
            "Language": "EN",
            "Difficulty_Level": "easy",
            "Hop": "Multi-Source",
        },
    }
    flat = {"question": "Q?", "answer": "A", "root_url": "http://a", **info}
    rows = [
        load_questions("webwalkerqa", path=write_lines(tmp_path / f"{n}.jsonl", [row])).questions[0]
        for n, row in enumerate([one, two, flat])
    ]
    assert rows[0] == rows[1] == rows[2]
    assert (rows[0].level, rows[0].category) == ("easy", "multi_source")
    assert rows[0].metadata["root_url"] == "http://a"


def test_a_missing_file_says_where_to_get_it_and_where_it_goes(tmp_path, monkeypatch):
    monkeypatch.setenv("AGENTRL_DATA", str(tmp_path))
    with pytest.raises(DataError) as caught:
        load_questions("gaia")
    for part in (str(tmp_path / "gaia"), "2023/validation/metadata", ".parquet", "huggingface.co"):
        assert part in str(caught.value)
    with pytest.raises(DataError, match="no file"):
        load_questions("aime24", path=tmp_path / "nothing.jsonl")


def test_wrong_columns_are_named_with_those_accepted(tmp_path):
    path = write_lines(tmp_path / "m.jsonl", [{"task_id": "1", "Prompt": "?", "Level": 1}])
    with pytest.raises(DataError, match=r"row 1 has no 'final_answer' or 'answer'.*'Prompt'"):
        load_questions("gaia", path=path)


def test_unknown_sets_and_splits_are_named():
    with pytest.raises(UnknownNameError, match="Did you mean 'gaia'"):
        load_questions("gaja")
    with pytest.raises(ConfigError, match="it has validation, test"):
        load_questions("gaia", split="train")


@pytest.mark.parametrize("text", ["no json", '{"question": ', "[1, 2]\n"])
def test_damaged_lines_are_refused_with_their_place(tmp_path, text):
    path = tmp_path / "bad.jsonl"
    path.write_text(text)
    with pytest.raises(DataError, match=r"bad\.jsonl"):
        load_questions("nq", path=path)


def test_csv_rows_of_another_width_are_refused(tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text("question,answer\nwho,me,too\n")
    with pytest.raises(DataError, match="Row 1"):
        load_questions("nq", path=path)


def test_lines_end_only_at_a_newline(tmp_path):
    rows = [{"question": "a\u2028b", "answer": "x"}, {"question": "c", "answer": "y"}]
    found = load_questions("nq", path=write_lines(tmp_path / "q.jsonl", rows))
    assert [row.question for row in found] == ["a\u2028b", "c"]


def test_control_characters_are_refused_dropped_or_mended(tmp_path):
    rows = [
        {"problem": "Put it in \x08oxed{}, \x0crac12.\r\nThanks\tall", "answer": "1"},
        {"problem": "fine", "answer": "2"},
    ]
    path = write_lines(tmp_path / "m.jsonl", rows)
    with pytest.raises(DataError, match=r"row 1 holds the control character U\+0008.*'mend'"):
        load_questions("math500", path=path)
    assert len(load_questions("math500", path=path, damaged="drop")) == 1
    found = load_questions("math500", path=path, damaged="mend")
    assert found.questions[0].question == "Put it in \\boxed{}, \\frac12.\nThanks\tall"
    assert "1 rows with control characters mended" in found.remarks
    write_lines(path, [{"problem": "nothing stands for \x00", "answer": "1"}])
    with pytest.raises(DataError, match=r"U\+0000"):
        load_questions("math500", path=path, damaged="mend")


def test_ids_that_occur_twice_are_refused_unless_they_were_made_here(tmp_path):
    twice = [{"id": "a", "question": "q", "answer": "x"}] * 2
    with pytest.raises(DataError, match="row 2 has the id 'a'"):
        load_questions("nq", path=write_lines(tmp_path / "a.jsonl", twice))
    without = [{"question": "q", "answer": "x"}] * 2
    first, second = load_questions("nq", path=write_lines(tmp_path / "b.jsonl", without))
    assert second.id == f"{first.id}-2"


def test_parquet_without_pyarrow_names_the_extra(tmp_path):
    path = tmp_path / "m.parquet"
    path.write_bytes(b"PAR1")
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        with pytest.raises(MissingExtraError, match=r"agentrl\[parquet\]"):
            load_questions("gaia", path=path)


def test_parquet_gives_the_same_rows_as_lines(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow (extra `parquet`) is not installed")
    from pyarrow import parquet

    lines = write_lines(tmp_path / "metadata.jsonl", GAIA_ROWS)
    parquet.write_table(pyarrow.Table.from_pylist(GAIA_ROWS), tmp_path / "copy.parquet")
    same = load_questions("gaia", path=tmp_path / "copy.parquet")
    assert same.questions == load_questions("gaia", path=lines).questions


def test_shards_are_read_as_one_file(tmp_path):
    for number in range(2):
        rows = [{"question": f"q{number}", "answer": "x"}]
        write_lines(tmp_path / f"test-0000{number}-of-00002.jsonl", rows)
    found = load_questions("bamboogle", data_dir=tmp_path)
    assert [row.question for row in found] == ["q0", "q1"]


def test_every_set_says_where_it_is_and_has_a_split():
    for name, form in FORMS.items():
        assert form.name == name
        assert form.source
        assert form.default_split in form.files
        assert all("all" in size for size in form.sizes.values())


def test_csv_fields_may_hold_lines(tmp_path):
    path = tmp_path / "s.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["metadata", "problem", "answer"])
        writer.writerow(["{'topic': 'Art', 'answer_type': 'Person'}", "Who,\r\nsay?", "Me"])
    (row,) = load_questions("simpleqa", path=path)
    assert (row.question, row.answers, row.category) == ("Who,\nsay?", ("Me",), "Art")
