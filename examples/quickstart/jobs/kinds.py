"""What a job can compute: pure functions from a size to a result."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

LARGEST = 5_000_000


def primes(size: int) -> str:
    """Count the primes below `size`, by the sieve of Eratosthenes."""
    sieve = bytearray([1]) * size
    sieve[:2] = bytes(min(size, 2))
    for number in range(2, int(size**0.5) + 1):
        if sieve[number]:
            sieve[number * number :: number] = bytes(len(range(number * number, size, number)))
    return f"{sum(sieve)} primes"


def collatz(size: int) -> str:
    """Find the start below `size` whose Collatz sequence takes the most steps."""
    best, most = 1, 0
    known = {1: 0}
    for start in range(1, size):
        number, steps = start, 0
        while number not in known:
            number = number // 2 if number % 2 == 0 else 3 * number + 1
            steps += 1
        known[start] = steps + known[number]
        if known[start] > most:
            best, most = start, known[start]
    return f"{most} steps from {best}"


def digest(size: int) -> str:
    """Hash a hash `size` times over."""
    value = b"quickstart"
    for _ in range(size):
        value = hashlib.sha256(value).digest()
    return f"sha256 {value.hex()[:16]}"


def partitions(size: int) -> str:
    """Count the ways to write `size` as a sum of positive whole numbers (modulo 10**9 + 7)."""
    ways = [1] + [0] * size
    for part in range(1, size + 1):
        for total in range(part, size + 1):
            ways[total] = (ways[total] + ways[total - part]) % 1_000_000_007
    return f"{ways[size]} partitions"


def crash(size: int) -> str:
    """Fail as a real bug would: with an exception that nobody catches."""
    raise RuntimeError(f"this job of size {size} was made to crash its worker")


KINDS: dict[str, Callable[[int], str]] = {
    "primes": primes,
    "collatz": collatz,
    "digest": digest,
    "partitions": partitions,
    "crash": crash,
}
