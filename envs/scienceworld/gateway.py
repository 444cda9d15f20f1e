"""Calls into a Java process that runs Py4J's gateway server.

Py4J's own client needs threads, writes tracebacks to the log when the process dies, and waits for
each answer before it asks the next question.  This one sends several commands at once, has a
deadline on every answer, and raises one error.  The wire format is Py4J's
(py4j/py4j: py4j-python/src/py4j/protocol.py).
"""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence

from agentrl.errors import EnvironmentFailure

Value = str | int | float | bool | None


class Reference(str):
    """The name of an object that lives in the Java process."""

    __slots__ = ()


Argument = str | int | bool | None
Command = tuple[str, ...]

_QUICK_ACK: int | None = getattr(socket, "TCP_QUICKACK", None)
"""The server does not send a second answer before the first is acknowledged, which the kernel puts
off by 40 ms; so either acknowledge at once, or ask one question at a time.
"""

_ESCAPED = re.compile(r"\\(.)")
_UNESCAPED = {"n": "\n", "r": "\r", "\\": "\\"}


def call(target: str, method: str, *arguments: Argument) -> Command:
    """Return the command that calls a method; a static one if `target` is `z:` and a class."""
    return ("c", target, method, *map(_encoded, arguments), "e")


def construct(class_name: str, *arguments: Argument) -> Command:
    """Return the command that makes an object."""
    return ("i", class_name, *map(_encoded, arguments), "e")


def forget(reference: Reference) -> Command:
    """Return the command that lets the Java process free an object."""
    return ("m", "d", reference, "e")


class JavaError(EnvironmentFailure):
    """A Java method raised an exception."""


class Gateway:
    """A connection to the gateway server.

    Args:
        port: of the server on this machine.
        token: the server's secret; without it any user of the machine could give commands.
        timeout: seconds one answer may take.
    """

    def __init__(self, port: int, token: str, timeout: float) -> None:
        self.timeout = timeout
        try:
            self._socket = socket.create_connection(("127.0.0.1", port), timeout)
        except OSError as error:
            raise EnvironmentFailure(f"ScienceWorld cannot be reached: {error}", "died") from error
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answers = self._socket.makefile("rb")
        self.run(("A", token))

    def run(self, command: Command) -> Value:
        """Carry one command out and return its value."""
        return self.run_all([command])[0]

    def reference(self, command: Command) -> Reference:
        """Carry out a command that returns an object."""
        value = self.run(command)
        assert isinstance(value, Reference), value
        return value

    def run_all(self, commands: Sequence[Command]) -> list[Value]:
        """Send all commands, then read all answers.

        Raises:
            EnvironmentFailure: of kind `timeout` or `died`; the process is then of no more use.
            JavaError: a method raised; all commands were carried out.
        """
        try:
            if _QUICK_ACK is None:
                answers = [self._exchange([command])[0] for command in commands]
            else:
                answers = self._exchange(commands)
        except TimeoutError as error:
            raise EnvironmentFailure(
                f"ScienceWorld did not answer within {self.timeout:g} s.", "timeout"
            ) from error
        except OSError as error:
            raise EnvironmentFailure(f"ScienceWorld's Java died: {error}", "died") from error
        if not all(answer.endswith(b"\n") for answer in answers):
            raise EnvironmentFailure("ScienceWorld's Java died.", "died")
        return [self._decoded(answer.decode()[:-1]) for answer in answers]

    def _exchange(self, commands: Sequence[Command]) -> list[bytes]:
        text = "".join("\n".join(command) + "\n" for command in commands)
        self._socket.sendall(text.encode("utf-8", "replace"))
        answers = []
        for _ in commands:
            if _QUICK_ACK is not None:
                self._socket.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)
            answers.append(self._answers.readline())
        return answers

    def close(self) -> None:
        """Close the connection."""
        self._answers.close()
        self._socket.close()

    def _decoded(self, answer: str) -> Value:
        status, kind, text = answer[:2], answer[2:3], answer[3:]
        if status == "!y":
            return _value(kind, text)
        if kind == "s":
            raise JavaError(f"ScienceWorld: {_text(text)}")
        if kind == "r":
            text = str(self.run(call(text, "toString")))
        raise JavaError(f"ScienceWorld raised {text}")


def _encoded(value: Argument) -> str:
    if value is None:
        return "n"
    if isinstance(value, Reference):
        return f"r{value}"
    if isinstance(value, bool):
        return f"b{value}"
    if isinstance(value, int):
        return f"{'i' if -(2**31) <= value < 2**31 else 'L'}{value}"
    escaped = value.replace("\\", "\\\\").replace("\r", "\\r").replace("\n", "\\n")
    return f"s{escaped}"


def _value(kind: str, text: str) -> Value:
    if kind == "s":
        return _text(text)
    if kind in ("i", "L"):
        return int(text)
    if kind == "d":
        return float(text)
    if kind == "b":
        return text.lower() == "true"
    if kind in ("v", "n", ""):
        return None
    return Reference(text)


def _text(escaped: str) -> str:
    return _ESCAPED.sub(lambda match: _UNESCAPED.get(match[1], match[0]), escaped)
