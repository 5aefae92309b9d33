"""The cipher against the standards' own examples."""

from __future__ import annotations

import pytest

from streamer.decode.aes import decrypted

KEY = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
VECTOR = bytes(range(16))
# SP 800-38A, F.2.2: CBC-AES128, four blocks.
SECRET = bytes.fromhex(
    "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2"
    "73bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7"
)
PLAIN = bytes.fromhex(
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)
# The same with the padding of RFC 5652 behind it.
PADDED = SECRET + bytes.fromhex("8cb82807230e1321d3fae00d18cc2012")


def test_the_example_of_the_standard() -> None:
    assert decrypted(PADDED, KEY, VECTOR) == PLAIN


def test_many_blocks_at_once_are_like_one_after_the_other() -> None:
    """A block's result hangs on it and the one before only: a long text repeats where its blocks do."""
    long = SECRET * 600 + PADDED
    plain = decrypted(long, KEY, VECTOR)
    first = bytes(a ^ b ^ c for a, b, c in zip(PLAIN[:16], VECTOR, SECRET[-16:], strict=True))
    assert plain == PLAIN + (first + PLAIN[16:]) * 600


@pytest.mark.parametrize(
    ("data", "key", "vector"),
    [
        (b"", KEY, VECTOR),
        (PADDED[:-1], KEY, VECTOR),
        (PADDED, KEY[:-1], VECTOR),
        (PADDED, KEY, VECTOR[:-1]),
        (SECRET, KEY, VECTOR),
        (PADDED, bytes(16), VECTOR),
    ],
)
def test_what_is_not_encrypted_so(data: bytes, key: bytes, vector: bytes) -> None:
    with pytest.raises(ValueError, match="encrypted"):
        decrypted(data, key, vector)
