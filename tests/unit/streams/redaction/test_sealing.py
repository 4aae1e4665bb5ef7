"""Sealed boxes: only a recipient opens them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import SettingError, StreamError
from streams.redaction.sealing import Sealer, new_key_pair, unseal


@given(st.binary(max_size=200))
def test_every_recipient_opens_what_was_sealed_and_nobody_else_does(original: bytes) -> None:
    one, other, stranger = new_key_pair(), new_key_pair(), new_key_pair()
    sealed = Sealer([one.public, other.public]).seal(original)
    assert unseal(sealed, one) == unseal(sealed, other) == original
    with pytest.raises(StreamError, match="none of the recipients"):
        unseal(sealed, stranger)


def test_a_damaged_copy_is_said_so() -> None:
    pair = new_key_pair()
    (copy,) = Sealer([pair.public]).seal(b"original")
    damaged = type(copy)(copy.key_id, copy.box[:-1] + bytes([copy.box[-1] ^ 1]))
    with pytest.raises(StreamError, match="damaged"):
        unseal([damaged], pair)


@pytest.mark.parametrize("key", ["", "short", "not base64!", "QUJD"])
def test_a_wrong_public_key_names_the_setting_and_the_mend(key: str) -> None:
    with pytest.raises(SettingError, match="MILLRACE_DEADLETTER_PUBLIC_KEYS"):
        Sealer([key])
