"""What code in a sandbox may use."""

from __future__ import annotations

from dataclasses import dataclass

from agentrl.errors import ConfigError

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one call may use; whatever exceeds it is stopped or fails.

    Attributes:
        wall: seconds by the clock, from the moment the interpreter is ready.
        cpu: seconds of processor time of each process.
        memory: bytes of address space of each process.
        processes: processes and threads together.
        file_size: bytes of each file.
        files: open at a time in each process.
        disk: bytes of all files in `/tmp`, which lies in memory.
        head: bytes kept of the start of the output.
        tail: bytes kept of its end.
        flood: bytes of output after which the code is stopped.
        start: seconds the interpreter may take to be ready.
    """

    wall: float = 10.0
    cpu: int = 10
    memory: int = 1024 * MIB
    processes: int = 32
    file_size: int = 10 * MIB
    files: int = 64
    disk: int = 64 * MIB
    head: int = 12 * 1024
    tail: int = 4 * 1024
    flood: int = 8 * MIB
    start: float = 30.0

    def __post_init__(self) -> None:
        """Refuse what cannot be a limit."""
        for name in self.__dataclass_fields__:
            value = getattr(self, name)
            if value <= 0:
                raise ConfigError(f"The sandbox limit `{name}` is {value}; it must be positive.")

    def resources(self) -> dict[str, int]:
        """Return them by the names of the operating system's resource limits."""
        return {
            "CPU": self.cpu,
            "AS": self.memory,
            "NPROC": self.processes,
            "FSIZE": self.file_size,
            "NOFILE": self.files,
            "CORE": 0,
        }
