"""A filter of system calls: no network, no debugging of others, no mounts, no kernel doors.

Memory that no limit counts (anonymous files, shared segments of System V) is refused as well.

A classic BPF program as `bwrap --seccomp` takes it (see Linux's Documentation/userspace-api/
seccomp_filter.rst), put together by hand so that it needs no library.  It reads `seccomp_data`:
the number of the call at byte 0, the architecture at 4, the first argument at 16.
"""

from __future__ import annotations

import platform
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from agentrl.errors import ConfigError

NUMBER, ARCHITECTURE, FIRST_ARGUMENT = 0, 4, 16

LOAD = 0x20
"""BPF_LD | BPF_W | BPF_ABS: a word of `seccomp_data`."""
IF_EQUAL = 0x15
IF_AT_LEAST = 0x35
IF_ANY_BIT = 0x45
RETURN = 0x06

ALLOW = 0x7FFF0000
KILL = 0x80000000
"""The whole process."""
REFUSE = 0x00050000
"""With the error number in the low half."""
EPERM, ENOSYS, EAFNOSUPPORT = 1, 38, 97

AF_UNIX = 1
CLONE_NEW = 0x7E020000
"""The flags of `clone` that make a namespace."""
X32 = 0x40000000
"""From here on lie the numbers of x86_64's second calling convention."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The numbers of one architecture.

    Attributes:
        word: how the kernel names it to filters.
        refused: calls by name, that fail as forbidden.
        clone: makes processes and threads; namespaces too.
        clone3: the same with its flags in memory, where no filter sees them; said to be missing,
            so that the C library takes `clone`.
        sockets: `socket` and `socketpair`, for AF_UNIX only.
        highest: numbers from here on are not of this architecture; None: there is no such bound.
    """

    word: int
    refused: Mapping[str, int]
    clone: int
    clone3: int = 435
    sockets: tuple[int, int]
    highest: int | None = None


_SAME_EVERYWHERE = {
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "pidfd_getfd": 438,
    "mount_setattr": 442,
    "memfd_secret": 447,
}
_X86_64 = (
    "ptrace=101 mount=165 umount2=166 pivot_root=155 chroot=161 unshare=272 setns=308 bpf=321 "
    "keyctl=250 add_key=248 request_key=249 userfaultfd=323 perf_event_open=298 "
    "process_vm_readv=310 process_vm_writev=311 kcmp=312 open_by_handle_at=304 kexec_load=246 "
    "kexec_file_load=320 init_module=175 finit_module=313 delete_module=176 swapon=167 "
    "swapoff=168 reboot=169 acct=163 quotactl=179 memfd_create=319 shmget=29 msgget=68"
)
_AARCH64 = (
    "ptrace=117 mount=40 umount2=39 pivot_root=41 chroot=51 unshare=97 setns=268 bpf=280 "
    "keyctl=219 add_key=217 request_key=218 userfaultfd=282 perf_event_open=241 "
    "process_vm_readv=270 process_vm_writev=271 kcmp=272 open_by_handle_at=265 kexec_load=104 "
    "kexec_file_load=294 init_module=105 finit_module=273 delete_module=106 swapon=224 "
    "swapoff=225 reboot=142 acct=89 quotactl=60 memfd_create=279 shmget=194 msgget=186"
)


def _numbers(text: str) -> dict[str, int]:
    pairs = (entry.split("=") for entry in text.split())
    return {name: int(number) for name, number in pairs} | _SAME_EVERYWHERE


MACHINES = {
    "x86_64": Machine(
        word=0xC000003E, refused=_numbers(_X86_64), clone=56, sockets=(41, 53), highest=X32
    ),
    "aarch64": Machine(word=0xC00000B7, refused=_numbers(_AARCH64), clone=220, sockets=(198, 199)),
}


def program(machine: str | None = None) -> bytes:
    """Return the filter for a machine, by default this one.

    Raises:
        ConfigError: there is none for it.
    """
    name = machine or platform.machine()
    if name not in MACHINES:
        known = " and ".join(MACHINES)
        raise ConfigError(
            f"The sandbox has no filter of system calls for {name}, only for {known}."
        )
    return b"".join(struct.pack("=HBBI", *step) for step in _steps(MACHINES[name]))


def _steps(machine: Machine) -> list[tuple[int, int, int, int]]:
    """Return code, jump if true, jump if false, constant; jumps count the steps left out."""
    steps = [
        (LOAD, 0, 0, ARCHITECTURE),
        (IF_EQUAL, 1, 0, machine.word),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER),
    ]
    if machine.highest is not None:
        steps += _when(IF_AT_LEAST, machine.highest, KILL)
    for number in sorted(machine.refused.values()):
        steps += _when(IF_EQUAL, number, REFUSE | EPERM)
    steps += _when(IF_EQUAL, machine.clone3, REFUSE | ENOSYS)
    steps += [
        (IF_EQUAL, 0, 4, machine.clone),
        (LOAD, 0, 0, FIRST_ARGUMENT),
        (IF_ANY_BIT, 0, 1, CLONE_NEW),
        (RETURN, 0, 0, REFUSE | EPERM),
        (RETURN, 0, 0, ALLOW),
        (IF_EQUAL, 1, 0, machine.sockets[0]),
        (IF_EQUAL, 0, 3, machine.sockets[1]),
        (LOAD, 0, 0, FIRST_ARGUMENT),
        (IF_EQUAL, 1, 0, AF_UNIX),
        (RETURN, 0, 0, REFUSE | EAFNOSUPPORT),
        (RETURN, 0, 0, ALLOW),
    ]
    return steps


def _when(test: int, value: int, answer: int) -> list[tuple[int, int, int, int]]:
    return [(test, 0, 1, value), (RETURN, 0, 0, answer)]
