"""AES-128 in CBC mode (FIPS 197, SP 800-38A), decrypted with NumPy: what HLS may encrypt its segments with.

The standard library has no cipher; a segment's blocks are independent of each other, so arrays do it fast enough.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

_N_ROUNDS = 10
_BLOCK_BYTES = 16
_CHUNK_BLOCKS = 8192
# Of a block's 16 bytes, column by column: where each comes from when the rows are shifted back.
_UNSHIFTED = np.array([0, 13, 10, 7, 4, 1, 14, 11, 8, 5, 2, 15, 12, 9, 6, 3])


def decrypted(data: bytes, key: bytes, vector: bytes) -> bytes:
    """The plain bytes, without their padding. Raises `ValueError` for a key, a length or a padding that is none."""
    if len(key) != _BLOCK_BYTES or len(vector) != _BLOCK_BYTES or not data or len(data) % _BLOCK_BYTES:
        raise ValueError("not encrypted with AES-128 in CBC mode")
    blocks = np.frombuffer(data, np.uint8).reshape(-1, _BLOCK_BYTES)
    before = np.vstack([np.frombuffer(vector, np.uint8), blocks[:-1]])
    keys = _round_keys(key)
    plain = np.vstack([_inverse(blocks[at : at + _CHUNK_BLOCKS], keys) for at in range(0, len(blocks), _CHUNK_BLOCKS)])
    text = (plain ^ before).tobytes()
    n = text[-1]
    if not 1 <= n <= _BLOCK_BYTES or text[-n:] != bytes([n]) * n:
        raise ValueError("encrypted with another key")
    return text[:-n]


def _inverse(blocks: Bytes, keys: Bytes) -> Bytes:
    """(N,16) blocks decrypted: the equivalent inverse cipher of FIPS 197 section 5.3.5, all blocks at once."""
    _, inverse = _boxes()
    tables = _columns()
    state = blocks ^ keys[_N_ROUNDS]
    for at in range(_N_ROUNDS - 1, 0, -1):
        rows = [table[state[:, _UNSHIFTED[row::4]]] for row, table in enumerate(tables)]
        mixed = rows[0] ^ rows[1] ^ rows[2] ^ rows[3]  # (N,4), a column of four bytes in each number
        state = np.ascontiguousarray(mixed).view(np.uint8) ^ _mixed_key(keys[at])
    last: Bytes = inverse[state[:, _UNSHIFTED]] ^ keys[0]
    return last


def _mixed_key(key: Bytes) -> Bytes:
    box, _ = _boxes()
    columns = box[key.reshape(4, 4)]
    mixed = np.bitwise_xor.reduce([table[columns[:, row]] for row, table in enumerate(_columns())])
    return np.ascontiguousarray(mixed).view(np.uint8)


def _round_keys(key: bytes) -> Bytes:
    """(11,16) round keys."""
    box, _ = _boxes()
    words = [list(key[at : at + 4]) for at in range(0, _BLOCK_BYTES, 4)]
    constant = 1
    for at in range(4, 4 * (_N_ROUNDS + 1)):
        word = list(words[-1])
        if at % 4 == 0:
            word = [int(box[byte]) for byte in word[1:] + word[:1]]
            word[0] ^= constant
            constant = _times(constant, 2)
        words.append([one ^ other for one, other in zip(words[-4], word, strict=True)])
    return np.array(words, np.uint8).reshape(-1, _BLOCK_BYTES)


@cache
def _boxes() -> tuple[Bytes, Bytes]:
    """The substitution box and its inverse, from their definition."""
    box = np.zeros(256, np.uint8)
    for value in range(256):
        inverse = next((other for other in range(256) if _times(value, other) == 1), 0)
        mixed = 0x63
        for turn in range(5):
            mixed ^= (inverse << turn | inverse >> 8 - turn) & 0xFF
        box[value] = mixed
    return box, np.argsort(box).astype(np.uint8)


@cache
def _columns() -> tuple[NDArray[np.uint32], ...]:
    """For each row: what a byte of it adds to its column when substituted back and mixed back, as four bytes."""
    _, inverse = _boxes()
    factors = (14, 9, 13, 11)
    products = {by: np.array([_times(int(value), by) for value in inverse], np.uint8) for by in factors}
    return tuple(
        np.stack([products[factors[(to - row) % 4]] for to in range(4)], axis=1).copy().view(np.uint32).reshape(256)
        for row in range(4)
    )


def _times(a: int, b: int) -> int:
    """The product in GF(2^8)."""
    product = 0
    while b:
        product ^= a if b & 1 else 0
        a = (a << 1) ^ (0x11B if a & 0x80 else 0)
        b >>= 1
    return product
