"""CRC-32 of data joined from parts, from the parts' own CRC-32: the way of zlib's crc32_combine.

A CRC is a polynomial over GF(2) modulo the CRC-32 polynomial. Appending n bytes multiplies it by x^(8n), so
the CRC of a join is `multiply(crc of the first, x^(8n)) XOR crc of the second`.
https://github.com/madler/zlib/blob/develop/crc32.c
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

# Polynomials are written with the highest power in the lowest bit, as zlib.crc32 gives them.
_POLYNOMIAL = 0xEDB88320
_ONE = 1 << 31
_X_TO_THE_8 = 1 << 23


def crc32_combine(first: int, second: int, second_bytes: int) -> int:
    """CRC-32 of a + b from `zlib.crc32(a)`, `zlib.crc32(b)` and the bytes of b."""
    return _multiply(_power(second_bytes), first) ^ second


def crc32_combiner(second_bytes: int) -> Callable[[int, int], int]:
    """`crc32_combine` for many a b of one length: four look-ups in place of 32 steps."""
    power = _power(second_bytes)
    bits = [_multiply(power, 1 << bit) for bit in range(32)]
    # The product with a number is the XOR of the products with its bits, and so with its bytes.
    lowest, low, high, highest = (
        [_sum_of(bits[first : first + 8], byte) for byte in range(256)] for first in range(0, 32, 8)
    )

    def combine(first: int, second: int) -> int:
        return (
            lowest[first & 0xFF]
            ^ low[first >> 8 & 0xFF]
            ^ high[first >> 16 & 0xFF]
            ^ highest[first >> 24]
            ^ second
        )

    return combine


def _sum_of(products: list[int], byte: int) -> int:
    result = 0
    for bit, product in enumerate(products):
        if byte >> bit & 1:
            result ^= product
    return result


@cache  # the parts of an archive have two or three lengths
def _power(count: int) -> int:
    """x^(8 * count) modulo the polynomial, by squaring."""
    result, factor = _ONE, _X_TO_THE_8
    while count:
        if count & 1:
            result = _multiply(factor, result)
        factor = _multiply(factor, factor)
        count >>= 1
    return result


def _multiply(a: int, b: int) -> int:
    """The product a * b modulo the polynomial."""
    product = 0
    for bit in range(31, -1, -1):
        if a >> bit & 1:
            product ^= b
        b = b >> 1 ^ _POLYNOMIAL if b & 1 else b >> 1
    return product
