"""The filter of system calls, run by a small machine for classic BPF."""

from __future__ import annotations

import struct

import pytest

from agentrl.errors import ConfigError
from agentrl.tools.python import seccomp
from agentrl.tools.python.seccomp import ALLOW, KILL, MACHINES, REFUSE, program

AF_UNIX, AF_INET, AF_NETLINK = 1, 2, 16
CLONE_NEWUSER, CLONE_THREAD, SIGCHLD = 0x10000000, 0x10000, 17


def answer(machine, number, argument=0, word=None):
    """Return what the filter says to a call."""
    word = MACHINES[machine].word if word is None else word
    data = struct.pack("<IIQ6Q", number, word, 0, argument, *[0] * 5)
    steps = list(struct.iter_unpack("=HBBI", program(machine)))
    position = register = 0
    while True:
        code, if_true, if_false, value = steps[position]
        position += 1
        if code == seccomp.LOAD:
            register = struct.unpack_from("<I", data, value)[0]
        elif code == seccomp.RETURN:
            return value
        else:
            tests = {
                seccomp.IF_EQUAL: register == value,
                seccomp.IF_AT_LEAST: register >= value,
                seccomp.IF_ANY_BIT: bool(register & value),
            }
            position += if_true if tests[code] else if_false


@pytest.fixture(params=sorted(MACHINES))
def machine(request):
    return request.param


def test_every_forbidden_call_is_refused_and_its_neighbours_are_not(machine):
    spec = MACHINES[machine]
    special = {spec.clone, spec.clone3, *spec.sockets}
    for number in range(500):
        if number not in special:
            refused = number in spec.refused.values()
            assert answer(machine, number) == (REFUSE | seccomp.EPERM if refused else ALLOW), number


def test_sockets_are_for_processes_of_the_sandbox_only(machine):
    for number in MACHINES[machine].sockets:
        assert answer(machine, number, AF_UNIX) == ALLOW
        assert answer(machine, number, AF_UNIX | 1 << 32) == ALLOW  # the kernel reads 32 bits
        for family in (AF_INET, AF_NETLINK, 0):
            assert answer(machine, number, family) == REFUSE | seccomp.EAFNOSUPPORT


def test_processes_and_threads_may_start_but_not_namespaces(machine):
    clone, clone3 = MACHINES[machine].clone, MACHINES[machine].clone3
    assert answer(machine, clone, SIGCHLD) == ALLOW
    assert answer(machine, clone, CLONE_THREAD) == ALLOW
    assert answer(machine, clone, CLONE_NEWUSER | SIGCHLD) == REFUSE | seccomp.EPERM
    assert answer(machine, clone3) == REFUSE | seccomp.ENOSYS


def test_calls_in_the_manner_of_another_architecture_kill(machine):
    for other in MACHINES.values():
        if other is not MACHINES[machine]:
            assert answer(machine, 0, word=other.word) == KILL
    assert answer(machine, 0, word=0x40000003) == KILL  # 32-bit x86
    assert answer("x86_64", seccomp.X32 + 41, AF_INET) == KILL


def test_both_architectures_refuse_the_same_calls():
    first, second = (set(spec.refused) for spec in MACHINES.values())
    assert first == second


def test_an_unknown_architecture_is_refused():
    with pytest.raises(ConfigError, match="for riscv64, only for x86_64 and aarch64"):
        program("riscv64")
