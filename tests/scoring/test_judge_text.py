"""Replies of judges, and the cipher of data that is not to be found in plain text."""

from __future__ import annotations

import base64
import hashlib

import pytest

from agentrl.errors import DataError
from agentrl.scoring.cipher import xor_decrypt
from agentrl.scoring.judge_text import browsecomp_says_correct, says_correct


@pytest.mark.parametrize(
    "reply", ["Correct", "it is CORRECT.", "x <judgment>correct</judgment> wrong"]
)
def test_correct_is_correct(reply):
    assert says_correct(reply)


@pytest.mark.parametrize(
    "reply", ["Incorrect", "not correct", "correct? wrong!", "yes", "", "<judgment>wrong correct"]
)
def test_a_denial_or_silence_is_not(reply):
    assert not says_correct(reply)


def test_browsecomps_verdict_is_the_word_and_not_the_whole_match():
    assert browsecomp_says_correct("reasoning: ...\ncorrect: yes\nconfidence: 90%")
    assert not browsecomp_says_correct("correct: no")
    assert not browsecomp_says_correct("correct: Yes")
    assert not browsecomp_says_correct("yes")


def test_a_row_is_decrypted_with_its_canary():
    text, canary = "Où est-ce ? " * 9, "canary 1"
    key = hashlib.sha256(canary.encode()).digest() * 9
    row = base64.b64encode(bytes(a ^ b for a, b in zip(text.encode(), key, strict=False))).decode()
    assert xor_decrypt(row, canary) == xor_decrypt(f"{row[:8]}\n{row[8:]}\n", canary) == text
    with pytest.raises(DataError, match="canary of the same row"):
        xor_decrypt(row, "canary 2")
    with pytest.raises(DataError, match="must be base64"):
        xor_decrypt("no base64!", canary)
