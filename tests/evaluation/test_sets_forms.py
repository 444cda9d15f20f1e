"""The forms of questions: encrypted, several answers, worked solutions; and the shared data."""

from __future__ import annotations

import base64
import csv
import hashlib
import json

import pytest
from question_files import write_lines

from agentrl.envs.questions import load_questions
from agentrl.envs.questions.golds import with_verified_golds
from agentrl.envs.questions.open_qa import with_aliases
from agentrl.errors import DataError
from agentrl.scoring.maths import MathsScorer


def encrypt(text, key):
    data = text.encode()
    mixed = bytes(byte ^ key[place % len(key)] for place, byte in enumerate(data))
    return base64.b64encode(mixed).decode()


def write_csv(path, columns, *rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
    return path


def test_browsecomp_is_decrypted_with_the_hash_of_the_canary(tmp_path):
    key = hashlib.sha256(b"canary one").digest()
    row = [encrypt("Who, Zoë?", key), encrypt("Ada", key), "Art", "canary one"]
    columns = ["problem", "answer", "problem_topic", "canary"]
    (found,) = load_questions("browsecomp", path=write_csv(tmp_path / "b.csv", columns, row))
    assert (found.question, found.answers, found.category) == ("Who, Zoë?", ("Ada",), "Art")
    row[-1] = "another canary"
    with pytest.raises(DataError, match="cannot be decrypted with the row's canary"):
        load_questions("browsecomp", path=write_csv(tmp_path / "c.csv", columns, row))


def test_xbench_is_decrypted_with_the_canary_itself(tmp_path):
    key = "canary-二".encode()
    row = ["7", encrypt("谁？", key), encrypt("他", key), "canary-二"]
    path = write_csv(tmp_path / "x.csv", ["id", "prompt", "answer", "canary"], row)
    found = load_questions("xbench", path=path)
    assert (found.questions[0].question, found.questions[0].answers) == ("谁？", ("他",))
    assert found.private
    plain = write_lines(tmp_path / "p.jsonl", [{"id": 7, "question": "谁？", "answer": "他"}])
    assert load_questions("xbench", path=plain).hash == found.hash


def test_hle_keeps_that_there_is_an_image_and_not_the_image(tmp_path):
    row = {
        "id": "h",
        "question": "Q",
        "image": "data:image/png;base64,AAAA",
        "answer": "A",
        "answer_type": "exactMatch",
        "rationale": "r",
        "raw_subject": "Topology",
        "category": "Math",
    }
    rows = [row, {**row, "id": "i", "image": ""}]
    first, second = load_questions("hle", path=write_lines(tmp_path / "h.jsonl", rows))
    assert (first.metadata["has_image"], second.metadata["has_image"]) == (True, False)
    assert "base64" not in str(first)
    assert first.category == "Math"


def test_musique_has_aliases_and_only_answerable_questions(tmp_path):
    paragraphs = [
        {"idx": 0, "title": "T", "paragraph_text": "..", "is_supporting": True},
        {"idx": 1, "title": "U", "paragraph_text": "..", "is_supporting": False},
    ]
    row = {
        "id": "2hop__1_2",
        "question": "Q",
        "answer": "A",
        "answer_aliases": ["A", "B"],
        "answerable": True,
        "paragraphs": paragraphs,
    }
    rows = [row, {**row, "id": "x", "answerable": False}]
    found = load_questions("musique", path=write_lines(tmp_path / "m.jsonl", rows))
    assert [(r.id, r.answers) for r in found] == [("2hop__1_2", ("A", "B"))]
    assert found.questions[0].metadata == {"supporting_titles": ["T"]}
    assert "1 rows without an answer left out" in found.remarks


def test_hotpotqa_and_2wiki_keep_titles_and_take_aliases_from_a_file(tmp_path):
    row = {
        "_id": "h1",
        "question": "Q",
        "answer": "yes",
        "answer_id": "Q1",
        "type": "comparison",
        "level": "hard",
        "supporting_facts": [["A", 0], ["B", 2], ["A", 1]],
        "context": [["A", ["s"]], ["B", ["t"]]],
    }
    path = tmp_path / "dev.json"
    path.write_text(json.dumps([row]))
    found = load_questions("2wikimultihopqa", data_dir=tmp_path)
    (question,) = found
    assert (question.id, question.level, question.category) == ("h1", "hard", "comparison")
    assert question.metadata["supporting_titles"] == ["A", "B"]
    aliases = write_lines(tmp_path / "al.jsonl", [{"Q_id": "Q1", "aliases": ["yeah", "yes"]}])
    assert with_aliases(found, aliases).questions[0].answers == ("yes", "yeah")


def test_triviaqa_takes_normalised_aliases_and_human_answers(tmp_path):
    answer = {
        "Value": "The Sun",
        "Aliases": ["The Sun", "Sol"],
        "NormalizedAliases": ["sun", "sol"],
        "HumanAnswers": ["sun", "our star"],
    }
    path = tmp_path / "t.json"
    data = {"Data": [{"Question": "Q", "QuestionId": "t1", "Answer": answer}], "Version": 1.0}
    path.write_text(json.dumps(data))
    (row,) = load_questions("triviaqa", path=path)
    assert (row.id, row.answers) == ("t1", ("sun", "sol", "our star"))


def test_flashrag_and_search_r1_forms_are_read(tmp_path):
    rows = [
        {"id": "test_0", "question": "Q", "golden_answers": ["A", "B"], "metadata": {"type": "x"}},
        {
            "id": "test_1",
            "data_source": "nq",
            "prompt": [{"role": "user", "content": "Q2"}],
            "reward_model": {"ground_truth": {"target": ["C"]}},
        },
    ]
    first, second = load_questions("open_qa", path=write_lines(tmp_path / "f.jsonl", rows))
    assert (first.answers, first.category) == (("A", "B"), "x")
    assert (second.question, second.answers, second.category) == ("Q2", ("C",), "nq")


@pytest.mark.parametrize(
    ("name", "row", "question", "answer"),
    [
        ("gsm8k", {"question": "Q", "answer": "<<1+1=2>>\n#### 1,234"}, "Q", "1234"),
        ("math", {"problem": "P", "solution": r"so \boxed{1} or \boxed{\frac{1}{2}}."}, "P",
         r"\frac{1}{2}"),
        ("math500", {"question": "Q", "answer": r"\left( 3 \right)"}, "Q", r"\left( 3 \right)"),
        ("aime24", {"id": 60, "problem": "P", "solution": r"\boxed{1}", "answer": "025"}, "P",
         "025"),
        ("aime25", {"id": "0", "problem": "P", "answer": 70}, "P", "70"),
        ("amc23", {"id": 0, "problem": "P", "answer": 27.0}, "P", "27"),
        ("olympiadbench", {"context": "C", "question": "Q", "final_answer": ["2", "3"]}, "C\nQ",
         "2, 3"),
        ("svamp", {"Body": "B", "Question": "Q", "Answer": 145.5}, "B\nQ", "145.5"),
        ("asdiv", {"body": "B", "question": "Q", "answer": "9 (apples)"}, "B\nQ", "9"),
        ("gaokao2023en", {"question": "Q", "answer": r"$\frac{3}{4}$"}, "Q", r"\frac{3}{4}"),
    ],
)  # fmt: skip
def test_answers_of_mathematics_are_bare(tmp_path, name, row, question, answer):
    (found,) = load_questions(name, path=write_lines(tmp_path / "m.jsonl", [row]))
    assert (found.question, found.answers) == (question, (answer,))


def test_a_solution_without_a_box_is_refused(tmp_path):
    path = write_lines(tmp_path / "m.jsonl", [{"problem": "P", "solution": "it is 5"}])
    with pytest.raises(DataError, match="has no answer"):
        load_questions("math", path=path)


def test_repeated_rows_of_dapo_are_left_out_by_index(tmp_path):
    rows = [
        {
            "prompt": [{"content": f"Solve {n}. Answer: $Answer", "role": "user"}],
            "reward_model": {"ground_truth": str(n), "style": "rule"},
            "extra_info": {"index": f"i{n}"},
        }
        for n in (1, 2)
    ]
    found = load_questions("dapo17k", path=write_lines(tmp_path / "d.jsonl", rows * 3))
    assert [(row.id, row.answers) for row in found] == [("i1", ("1",)), ("i2", ("2",))]
    assert "4 rows that repeat another left out" in found.remarks


SHARED = {
    "gsm8k_test": ("gsm8k", 1060),
    "gsm8k_train": ("gsm8k", 5939),
    "math500": ("math500", 375),
    "aime24": ("aime24", 25),
    "amc23": ("amc23", 34),
    "nq_open_dev": ("nq", 2903),
    "open_qa_mix": ("open_qa", 2572),
    "hotpotqa_dev500": ("hotpotqa", 391),
    "hotpotqa_train100": ("hotpotqa", 80),
    "musique_train100": ("musique", 83),
    "webwalkerqa_sample": ("webwalkerqa", 67),
}


@pytest.mark.parametrize("file", SHARED)
def test_shared_files_are_read_whole(shared, file):
    name, rows = SHARED[file]
    found = load_questions(name, path=shared / "data" / "qa" / f"{file}.jsonl")
    assert len(found) == rows == len({row.id for row in found})
    assert all(row.question and row.answers and all(row.answers) for row in found)


def test_a_damaged_shared_file_is_refused_until_asked_otherwise(shared):
    path = shared / "data" / "qa" / "aime25.jsonl"
    with pytest.raises(DataError, match=r"U\+000C"):
        load_questions("aime25", path=path)
    mended = load_questions("aime25", path=path, damaged="mend")
    assert len(mended) == 27
    assert any("\\frac" in row.question for row in mended)


def test_the_shared_gaia_like_set_is_read_with_its_attachments(shared):
    found = load_questions("gaia", data_dir=shared / "data" / "gaia_like")
    assert found.counts("level") == {"1": 5, "2": 5, "3": 2}
    assert sum(bool(row.file) for row in found) == 4
    assert not any("missing" in remark for remark in found.remarks)


def test_answers_that_do_not_verify_are_refused_or_left_out(tmp_path):
    rows = [{"id": "1", "problem": "P", "answer": "7"}, {"id": "2", "problem": "P", "answer": "}{"}]
    found = load_questions("math500", path=write_lines(tmp_path / "m.jsonl", rows))
    with MathsScorer(reading="whole", workers=1, seconds=10) as scorer:
        with pytest.raises(DataError, match=r"1 of 2 rows of math500/test cannot be answered.*'2'"):
            with_verified_golds(found, scorer)
        kept = with_verified_golds(found, scorer, "drop")
        assert [row.id for row in kept] == ["1"]
        assert kept.remarks[-1] == "1 rows whose answer does not verify left out: 2"
        assert with_verified_golds(kept, scorer) is kept
