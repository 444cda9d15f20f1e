"""The cipher of data sets that must not be found in plain text, such as BrowseComp.

Source: openai/simple-evals:browsecomp_eval.py.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools

from agentrl.errors import DataError


def xor_decrypt(ciphertext: str, password: str) -> str:
    """Return the text behind a row's base64; BrowseComp's password is the row's `canary`.

    Raises:
        DataError: it is no base64, or the password does not give a text.
    """
    key = hashlib.sha256(password.encode()).digest()
    try:
        data = base64.b64decode("".join(ciphertext.split()), validate=True)
        return bytes(a ^ b for a, b in zip(data, itertools.cycle(key))).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise DataError(
            f"{ciphertext[:20]!r} cannot be decrypted ({error}). It must be base64, and the "
            "password the canary of the same row."
        ) from error
