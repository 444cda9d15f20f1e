"""What a model's turn says, in every dialect."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest

from agentrl.errors import UnknownNameError
from agentrl.tools.base import ToolCall, ToolResult
from agentrl.tools.dialects import DIALECTS, Arpo, BadCall, Hermes, Reply, SearchR1, XmlFunction
from agentrl.tools.dialects import dialect as named
from agentrl.tools.dialects.chat import MOST_CALLS
from agentrl.tools.dialects.reply import outside_thoughts
from agentrl.types import Continued, shown_text


def schema(name: str, **properties: str) -> dict:
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": f"does {name}",
            "parameters": {
                "type": "object",
                "properties": {key: {"type": kind} for key, kind in properties.items()},
                "required": list(properties)[:1],
            },
        },
    }


SCHEMAS = [
    schema(
        "search", query="string", k="integer", deep="boolean", weight="number", filters="object"
    ),
    schema("python", code="string"),
]
CALL = '<tool_call>\n{"name": "search", "arguments": {"query": "a"}}\n</tool_call>'
XML = "<tool_call><function=search><parameter=query>\na\n</parameter></function></tool_call>"
FRAGMENTS = [
    "<think>", "</think>", "<search>", "</search>", "<python>", "</python>", "<answer>",
    "</answer>", "<tool_call>", "</tool_call>", "<function=", "<function=search>", "</function>",
    "<parameter=query>", "</parameter>", '{"name": "search", "arguments": {', "}}", "\\boxed{", "}",
    "\n", " ", "a", "<|im_end|>", "\x00", "é", "\ud800", "[" * 50, '"',
]  # fmt: skip


def search(query: str = "a", **more: object) -> ToolCall:
    return ToolCall(name="search", arguments={"query": query, **more})


def test_names_and_unknown_ones():
    assert list(DIALECTS) == ["search_r1", "arpo", "hermes", "xml_function"]
    with pytest.raises(UnknownNameError, match="search_r1"):
        named("search-r1")


@pytest.mark.parametrize("name", DIALECTS)
def test_what_is_written_is_read_again(name: str):
    dialect = DIALECTS[name]
    for text in ("who wrote Emma", "a\nb", '"quoted" {x}', "<b>tagged</b>", "née 東京"):
        written = dialect.write(Reply(calls=(search(text),)))
        assert dialect.read(written, SCHEMAS).calls == (search(text),)
        answered = dialect.read(dialect.write(Reply(answer="Jane Austen", final=True)), SCHEMAS)
        assert answered.final and "Jane Austen" in (answered.answer or "")


@pytest.mark.parametrize("name", DIALECTS)
def test_calls_inside_thoughts_do_not_count(name: str):
    dialect = DIALECTS[name]
    call = dialect.write(Reply(calls=(search(),)))
    for text in (f"<think>{call}</think>", f"<think>{call}", f"{call}</think>"):
        assert dialect.read(text, SCHEMAS).calls == (), text
    assert dialect.read(f"<think>{call}</think>{call}", SCHEMAS).calls == (search(),)


def test_with_a_switch_they_do_as_in_released_code():
    assert SearchR1(thoughts=True).read("<think><search>a</search>", SCHEMAS).calls == (search(),)
    assert Hermes(thoughts=True).read(f"<think>{CALL}</think>", SCHEMAS).calls == (search(),)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a<think>b</think>c", "a" + " " * 16 + "c"),
        ("b</think>c", " " * 9 + "c"),
        ("a<think>b", "a" + " " * 8),
        ("<think>a</think>b</think>", " " * 16 + "b</think>"),
        ("nothing", "nothing"),
    ],
)
def test_thoughts_become_spaces_so_that_places_stay(text: str, left: str):
    assert outside_thoughts(text) == left


class TestSearchR1:
    def test_the_first_block_counts(self):
        read = SearchR1().read
        assert read("<search>a</search><answer>b</answer>", SCHEMAS).calls == (search(),)
        first = read("<answer> b </answer><search>a</search>", SCHEMAS)
        assert (first.answer, first.final, first.calls) == ("b", True, ())

    def test_an_empty_call_is_said_to_be_one(self):
        (call,) = SearchR1().read("<search> </search>", SCHEMAS).calls
        assert isinstance(call, BadCall) and "empty" in call.reason

    def test_anything_else_goes_on_with_a_note_of_the_models_own(self):
        reply = SearchR1().read("hm <search>a</answer>", SCHEMAS)
        assert not reply.final and "<search> and </search>" in reply.problem
        note = SearchR1().note(reply.problem)
        assert isinstance(note, Continued) and "I try again" in note.text

    def test_results_and_question_are_those_of_the_paper(self):
        results = SearchR1().results(["search"], [ToolResult(text="Doc 1(Title: A) b\n")])
        wanted = "\n\n<information>Doc 1(Title: A) b</information>\n\n"
        assert results == Continued(wanted)
        question = SearchR1().question("Who wrote Emma", SCHEMAS)
        assert question.endswith("Question: Who wrote Emma?\n") and "<python> code" in question
        assert SearchR1().question("Who?", SCHEMAS).endswith("Question: Who?\n")


class TestArpo:
    def test_the_call_that_stopped_sampling_counts(self):
        read = Arpo().read
        assert read("<search>b</search> <search>a</search>", SCHEMAS).calls == (search(),)
        (call,) = read("x <python>print(1)</python>", SCHEMAS).calls
        assert call == ToolCall(name="python", arguments={"code": "print(1)"})

    def test_a_turn_without_a_call_is_the_last(self):
        done = Arpo().read("<answer> it is \\boxed{4} </answer>", SCHEMAS)
        assert done.final and done.answer == "it is \\boxed{4}"
        assert Arpo().read("I give up", SCHEMAS) == Reply(final=True)
        assert Arpo().read("<search></search>", SCHEMAS) == Reply(final=True)

    def test_results_differ_between_training_and_evaluation(self):
        found = [ToolResult(text="x")]
        assert Arpo().results(["search"], found) == Continued(" <result>\nx\n</result>")
        assert Arpo(evaluation=True).results([""], found) == Continued("<result>x</result>")


class TestHermes:
    def test_all_calls_count_and_one_that_cannot_be_read_is_said_to_be_one(self):
        text = f"Look: {CALL} and <tool_call>{{'name': 1}}</tool_call> {CALL}"
        first, second, third = Hermes().read(text, SCHEMAS).calls
        assert first == third == search()
        assert isinstance(second, BadCall) and "no JSON object" in second.reason

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            ('{"arguments": {}}', "a call is"),
            ('{"name": "x", "arguments": [1]}', "are no JSON object"),
            ('{"name": "x", "arguments": {"a": NaN}}', "NaN is not JSON"),
            ("[]", "a call is"),
            ("[" * 100_000, "no JSON object"),
        ],
    )
    def test_what_is_wrong_is_named(self, content: str, reason: str):
        (call,) = Hermes().read(f"<tool_call>{content}</tool_call>", SCHEMAS).calls
        assert isinstance(call, BadCall) and reason in call.reason

    def test_of_a_turn_that_loops_the_first_calls_are_read(self):
        assert Hermes().read(CALL * 5000, SCHEMAS).calls == (search(),) * MOST_CALLS

    def test_an_open_call_is_a_mistake_and_quoted_arguments_are_read(self):
        (call,) = Hermes().read('<tool_call>{"name": "x"', SCHEMAS).calls
        assert isinstance(call, BadCall) and "not closed" in call.reason
        quoted = '<tool_call>{"name": "search", "arguments": "{\\"query\\": \\"a\\"}"}</tool_call>'
        assert Hermes().read(quoted, SCHEMAS).calls == (search(),)

    def test_text_without_calls_is_the_answer_without_its_thoughts(self):
        reply = Hermes().read("<think>hm</think>\n\nParis ", SCHEMAS)
        assert reply == Reply(answer="Paris", final=True)
        finish = '<tool_call>{"name": "finish", "arguments": {"answer": 4}}</tool_call>'
        assert Hermes().read(finish, SCHEMAS) == Reply(answer="4", final=True)

    def test_results_are_one_group_of_tool_messages(self):
        found = Hermes().results(["search", ""], [ToolResult(text="x"), ToolResult(text="y")])
        assert [(m["role"], m["name"], m["content"]) for m in found] == [
            ("tool", "search", "x"),
            ("tool", "tool", "y"),
        ]


class TestXmlFunction:
    def test_values_are_what_the_schema_says(self):
        values = {"k": "3", "deep": "True", "weight": "1.5", "filters": '{"a": 1}', "query": "7"}
        inside = "".join(f"<parameter={k}>\n{v}\n</parameter>\n" for k, v in values.items())
        text = f"<tool_call>\n<function=search>\n{inside}</function>\n</tool_call>"
        wanted = search("7", k=3, deep=True, weight=1.5, filters={"a": 1})
        assert XmlFunction().read(text, SCHEMAS).calls == (wanted,)

    def test_what_does_not_fit_stays_text_for_the_schema_to_refuse(self):
        text = XML.replace("query", "deep").replace("\na\n", "\nmaybe\n")
        (call,) = XmlFunction().read(text, SCHEMAS).calls
        assert call.arguments == {"deep": "maybe"}

    @pytest.mark.parametrize(
        "text", ["<function=search", "<function=>", "no call", "<function=a<b>"]
    )
    def test_what_is_no_call_is_said_to_be_none(self, text: str):
        (call,) = XmlFunction().read(f"<tool_call>{text}</tool_call>", SCHEMAS).calls
        assert isinstance(call, BadCall)


def odd_texts(count: int) -> Iterator[str]:
    rng = random.Random(0)
    for _ in range(count):
        parts = [rng.choice(FRAGMENTS) for _ in range(rng.randrange(30))]
        parts += [chr(rng.randrange(0x11000)) for _ in range(rng.randrange(4))]
        rng.shuffle(parts)
        yield "".join(parts)


def test_no_text_breaks_a_reader():
    for text in odd_texts(10_000):
        for dialect in DIALECTS.values():
            reply = dialect.read(text, SCHEMAS)
            assert reply.calls or reply.final or reply.problem
            assert isinstance(dialect.write(reply), str)


@pytest.mark.parametrize("piece", [*FRAGMENTS, "<search><answer>", "<think></think", CALL, XML])
def test_a_megabyte_is_read_in_a_moment(piece: str):
    text = piece * (1_000_000 // len(piece))
    started = time.process_time()
    for dialect in DIALECTS.values():
        dialect.read(text, SCHEMAS)
    assert time.process_time() - started < 4  # quadratic work would take minutes


def test_shown_text_is_the_text_of_every_form():
    assert shown_text("a") == shown_text(Continued("a")) == "a"
    assert (
        shown_text([{"role": "tool", "content": "a"}, {"role": "tool", "content": "b"}]) == "a\nb"
    )
