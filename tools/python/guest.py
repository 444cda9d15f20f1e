"""The program inside the sandbox: limits itself, then runs the code it is sent.

Its text is given to another interpreter (`python -c`), which may be older than ours and see
nothing else of AgentRL: it uses the standard library only.  Standard input is a socket: a line of
JSON comes in for every piece of code, a line goes out when it is ready and after every piece.
The output of the code goes to standard output, which is also standard error.
"""

from __future__ import annotations

import ast
import contextlib
import json
import linecache
import os
import resource
import sys
import traceback
import types

TRACEBACK_LINES = 5
"""Kept of the end of a traceback."""


def main() -> None:
    """Serve until the host closes its end."""
    settings = json.loads(sys.argv[1])
    sys.argv[:] = [""]
    sys.path.extend(settings["packages"])
    control = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    _limit(settings["limits"], settings["session"])
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    _tell(control, "ready")
    with os.fdopen(control, "rb", closefd=False) as lines:
        for number, line in enumerate(lines, 1):
            if settings["session"]:
                _allow_processor_time(settings["limits"].get("CPU"))
            job = json.loads(line)
            status = _run(job["code"], module, f"<code {number}>", job["print_last"])
            _tell(control, status)


def _tell(control: int, status: str) -> None:
    os.write(control, status.encode() + b"\n")


def _limit(limits: dict[str, int], session: bool) -> None:
    for name, value in limits.items():
        kind = getattr(resource, "RLIMIT_" + name)
        highest = resource.getrlimit(kind)[1]
        if highest != resource.RLIM_INFINITY:
            value = min(value, highest)
        if name == "CPU":  # the first signal ends the code unless it is caught, the second always
            highest = highest if session else value + 1
            resource.setrlimit(kind, (value, highest))
        else:
            resource.setrlimit(kind, (value, value))


def _allow_processor_time(seconds: int | None) -> None:
    if seconds is not None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        highest = resource.getrlimit(resource.RLIMIT_CPU)[1]
        allowed = int(used.ru_utime + used.ru_stime) + 1 + seconds
        resource.setrlimit(resource.RLIMIT_CPU, (allowed, highest))


def _run(code: str, module: types.ModuleType, name: str, print_last: bool) -> str:
    lines = code.splitlines(keepends=True)
    linecache.cache[name] = (len(code), None, lines, name)  # tracebacks show the code
    try:
        compiled = _compiled(code, name, print_last)
    except Exception as error:
        _complain("".join(traceback.format_exception_only(type(error), error)))
        return "raised"
    try:
        exec(compiled, module.__dict__)
        status = "done"
    except SystemExit as error:
        status = _exited(error.code)
    except BaseException as error:
        _complain(_last_lines(error))
        status = "raised"
    _flush()
    return status


def _exited(code: object) -> str:
    if code is None or code == 0:
        return "done"
    if not isinstance(code, int):
        _complain(f"{code}\n")
    return "raised"


def _compiled(code: str, name: str, print_last: bool) -> types.CodeType:
    tree = ast.parse(code, name)
    if print_last and tree.body:
        last = tree.body[-1]
        if isinstance(last, ast.Expr) and not _is_print(last.value):
            printed = ast.Call(ast.Name("print", ast.Load()), [last.value], [])
            tree.body[-1] = ast.copy_location(ast.Expr(printed), last)
            ast.fix_missing_locations(tree)
    return compile(tree, name, "exec", dont_inherit=True)


def _is_print(value: ast.expr) -> bool:
    return (
        isinstance(value, ast.Call)
        and isinstance(value.func, ast.Name)
        and value.func.id == "print"
    )


def _last_lines(error: BaseException) -> str:
    frames = error.__traceback__.tb_next if error.__traceback__ else None  # without ours
    text = "".join(traceback.format_exception(type(error), error, frames))
    return "\n".join(text.rstrip("\n").splitlines()[-TRACEBACK_LINES:]) + "\n"


def _complain(text: str) -> None:
    """Write to standard error whatever the code has made of `sys.stderr`."""
    _flush()
    os.write(2, text.encode("utf-8", "replace"))


def _flush() -> None:
    for stream in (sys.stdout, sys.__stdout__):
        with contextlib.suppress(BaseException):  # the code may have closed or replaced it
            stream.flush()  # type: ignore[union-attr]


if __name__ == "__main__":
    main()
