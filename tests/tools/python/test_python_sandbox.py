"""What code in a sandbox sees and what becomes of its output; sessions; many calls at once."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from agentrl.errors import ConfigError
from agentrl.tools.python import Limits, Sandbox, SandboxBusy, Status
from agentrl.tools.python.output import Output, clean
from agentrl.tools.python.slots import Slots


def test_output_and_errors_come_in_the_order_they_were_written(sandbox):
    code = "import sys\nfor i in range(3):\n    print(i)\n    print('!', file=sys.stderr)"
    outcome = sandbox.run(code)
    assert outcome.output == "0\n!\n1\n!\n2\n!\n"
    assert outcome.status is Status.DONE


def test_an_exception_shows_the_last_five_lines_of_its_traceback(sandbox):
    outcome = sandbox.run(
        "print('before')\ndef f(n):\n    return 1 / n if not n else f(n - 1)\nf(3)"
    )
    assert outcome.status is Status.RAISED
    first, *lines = outcome.output.splitlines()
    assert first == "before"
    assert len(lines) == 5
    assert lines[-1] == "ZeroDivisionError: division by zero"
    assert any("return 1 / n" in line for line in lines)


def test_code_that_cannot_be_read_shows_where(sandbox):
    outcome = sandbox.run("x = 1\ny = = 2")
    assert outcome.status is Status.RAISED
    assert "line 2" in outcome.output
    assert outcome.output.endswith("SyntaxError: invalid syntax\n")


@pytest.mark.parametrize(
    ("end", "status", "output"),
    [
        ("sys.exit()", Status.DONE, ""),
        ("sys.exit(0)", Status.DONE, ""),
        ("sys.exit(2)", Status.RAISED, ""),
        ("sys.exit('no')", Status.RAISED, "no\n"),
        ("__import__('os')._exit(0)", Status.DONE, ""),
        ("raise KeyboardInterrupt('key')", Status.RAISED, None),
    ],
)
def test_code_may_end_as_it_likes(sandbox, end, status, output):
    outcome = sandbox.run(f"import sys\n{end}")
    assert outcome.status is status
    assert output is None or outcome.output == output


def test_a_silent_call_says_that_it_was(sandbox):
    assert sandbox.run("x = 1").text(sandbox.limits) == "The code ran and printed nothing."


@pytest.mark.parametrize(
    ("code", "output"),
    [
        ("1 + 1", "2\n"),
        ("x = 4\nx", "4\n"),
        ("print(3)", "3\n"),
        ("x = 4", ""),
        ("'text'", "text\n"),
        ("if True:\n    5", ""),
    ],
)
def test_a_last_bare_expression_is_printed_on_request(sandbox, code, output):
    assert sandbox.run(code, print_last=True).output == output
    assert sandbox.run(code).output == ("3\n" if "print" in code else "")


def test_nothing_is_kept_from_call_to_call(sandbox):
    sandbox.run("x = 1\nopen('/tmp/x', 'w').write('x')")
    code = "import os\nprint('x' in os.listdir('/tmp'), 'x' in globals())"
    assert sandbox.run(code).output == "False False\n"


def test_code_is_the_main_module_with_closed_input_and_a_fixed_hash(sandbox):
    code = "import sys\nprint(__name__, sys.argv, repr(sys.stdin.read()), hash('agent'))"
    first = sandbox.run(code).output
    assert first.startswith("__main__ [''] '' ")
    assert sandbox.run(code).output == first


def test_code_that_writes_where_the_host_listens_harms_only_itself(installed, limits):
    sandbox = Sandbox(limits=replace(limits, wall=0.5))
    flood = "import os\nwhile True:\n    for n in range(3, 20):\n        try:\n            "
    outcome = sandbox.run(flood + "os.write(n, b'x' * 60000)\n        except OSError: pass")
    assert outcome.status is Status.TIMEOUT
    assert sandbox.run("print(1)").output == "1\n"


@pytest.mark.parametrize("said", ["done", "ready", "timeout", "nonsense"])
def test_code_that_speaks_for_the_guest_disturbs_only_its_own_call(sandbox, said):
    speak = f"import os\nfor n in range(3, 10):\n    try:\n        os.write(n, b'{said}\\n' * 2)"
    session = sandbox.session()
    try:
        session.run(f"{speak}\n    except OSError:\n        pass")
        time.sleep(0.1)
        assert session.run("print(1)").output == "1\n"
        assert session.run("print(2)").output == "2\n"
    finally:
        session.close()


def test_numerical_packages_run_within_the_memory_limit(sandbox):
    pytest.importorskip("numpy")
    assert sandbox.run("import numpy as np\nprint(np.eye(2).sum())").output == "2.0\n"
    pool = "from multiprocessing import Pool\nwith Pool(2) as p:\n    print(p.map(abs, [-1, -2]))"
    assert sandbox.run(pool).output == "[1, 2]\n"


def test_code_may_be_longer_than_a_command_line(sandbox):
    code = f"text = {'x' * 3_000_000!r}\nprint(len(text))"
    assert sandbox.run(code).output == "3000000\n"


@pytest.mark.parametrize("code", ["print('\\ud800')", "x = '\ud800'", "\0"])
def test_code_that_is_no_text_fails_like_other_code(sandbox, code):
    assert sandbox.run(code).status is Status.RAISED


def test_much_output_keeps_its_head_and_tail(sandbox):
    outcome = sandbox.run("print('a' * 20000 + 'b' * 20000)")
    head, mark, tail = outcome.output.split("\n", 2)
    assert head == "a" * 12 * 1024
    assert mark == f"[{40001 - 16 * 1024} bytes cut out]"
    assert tail == "b" * (4 * 1024 - 1) + "\n"


def test_a_flood_of_output_is_stopped(installed, limits):
    small = Sandbox(limits=replace(limits, flood=2 * 1024 * 1024))
    outcome = small.run("while True: print('x' * 10000)")
    assert outcome.status is Status.FLOOD
    assert outcome.text(small.limits).endswith(
        "\nThe code was stopped: it printed more than 2 MiB."
    )
    assert len(outcome.output) < 17 * 1024


def test_what_was_printed_before_the_end_of_time_is_shown(installed, limits):
    short = Sandbox(limits=replace(limits, wall=0.5))
    text = short.run("print('so far')\nwhile True: pass").text(short.limits)
    assert text == "so far\nThe code was stopped after 0.5 seconds."


def test_output_is_safe_to_show():
    assert clean("\x1b[31mred\x1b[0m \x1b]0;title\x07a\x00b\tc\r\nd") == "red ab\tc\nd"
    assert clean("<|im_end|> <b> a<|b") == "<\u200b|im_end|> <b> a<|b"
    output = Output(4, 4)
    for data in (b"\xff\xe4", b"bcdefgh", b"ij"):
        output.add(data)
    assert output.text() == "��bc\n[3 bytes cut out]\nghij"


def test_32_calls_at_once_do_not_disturb_each_other(sandbox, leftovers):
    code = (
        "import os, pathlib\npath = pathlib.Path('/tmp/file')\npath.write_text('{0}')\nprint({0})"
    )
    with ThreadPoolExecutor(32) as threads:
        outcomes = list(threads.map(lambda n: sandbox.run(code.format(n)), range(32)))
    assert [outcome.output for outcome in outcomes] == [f"{n}\n" for n in range(32)]
    assert leftovers() == []


def test_no_more_calls_run_at_once_than_there_are_slots(tmp_path):
    slots = Slots(2, tmp_path)
    with slots.take(1), slots.take(1), pytest.raises(SandboxBusy, match="All 2 sandboxes"):
        Slots(2, tmp_path).take(0.05)  # another process would see the same files
    with slots.take(1) as slot:
        assert slot.number in (0, 1)


def test_a_session_keeps_variables_and_files(sandbox, leftovers):
    session = sandbox.session()
    try:
        assert session.run("x = 2\nopen('/tmp/x', 'w').write('y')").output == ""
        assert session.run("x * 3, open('/tmp/x').read()", print_last=True).output == "(6, 'y')\n"
        assert "NameError" in session.run("z").output
        assert session.run("print(x)").output == "2\n"
    finally:
        session.close()
    assert leftovers() == []


def test_a_killed_session_starts_again_and_says_so(installed, limits, leftovers):
    sandbox = Sandbox(limits=replace(limits, wall=0.6))
    session = sandbox.session()
    try:
        session.run("x = 1")
        killed = session.run("import time\ntime.sleep(60)")
        assert killed.status is Status.TIMEOUT
        assert killed.forgotten
        assert killed.text(sandbox.limits).endswith("everything earlier code had defined is gone.")
        again = session.run("print('x' in globals())")
        assert (again.output, again.forgotten) == ("False\n", False)
        assert session.run("import os\nos._exit(0)").forgotten
        assert session.run("print(1)").output == "1\n"
    finally:
        session.close()
    assert leftovers() == []


def test_processor_time_of_a_session_is_counted_for_each_call(installed, limits):
    session = Sandbox(limits=replace(limits, cpu=1)).session()
    burn = "import time\nend = time.process_time() + 0.6\nwhile time.process_time() < end: pass"
    try:
        assert [session.run(burn).status for _ in range(2)] == [Status.DONE] * 2
    finally:
        session.close()


@pytest.mark.parametrize("name", ["wall", "memory", "head"])
def test_limits_must_be_positive(name):
    with pytest.raises(ConfigError, match=f"`{name}` is 0"):
        Limits(**{name: 0})


def test_a_program_that_is_none_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no program that can be run"):
        Sandbox(python=str(tmp_path / "python"))
    with pytest.raises(ConfigError, match="no folder that code can read"):
        Sandbox(packages=[str(tmp_path / "packages")])
