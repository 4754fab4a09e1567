"""Let the policy live through random lives with random rules, and check after every step what it promises.

The lives and the promises are those of the tests (`tests/supervise/rules_promises.py`), taken from the checkout; the
policy is the one that is installed. Every life has a seed of its own, so that one can be lived again alone.
"""

from __future__ import annotations

import itertools
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

STEPS = 1_000_000
LONGEST_LIFE = 16_000
"""Numbers that one life may use; a step takes two to five."""
SHOWN = 12


def soak(steps: int, seed: int) -> int:
    """Live for so many steps and print how it went; return an exit code, 1 when a promise was broken."""
    # After the installed packages: of the checkout only the tests are taken.
    sys.path.append(str(Path(__file__).resolve().parents[1]))
    from tests.supervise.rules_lives import live

    codes: Counter[int | None] = Counter()
    longest = done = lives = 0
    began = time.monotonic()
    for number in itertools.count(seed):
        if done >= steps:
            break
        try:
            life = live(numbers(number))
        except Exception:
            print(f"a promise was broken in the life with seed {number}:", file=sys.stderr)
            traceback.print_exc()
            print(f"live it again: script/bench --soak --steps 1 --seed {number}", file=sys.stderr)
            return 1
        lives += 1
        done += life.steps
        longest = max(longest, life.steps)
        codes[life.finished] += 1
    seconds = time.monotonic() - began
    common = ", ".join(f"{code} in {count}" for code, count in codes.most_common(SHOWN))
    print(f"{done} steps in {lives} lives, seed {seed}: no promise was broken")
    print(f"{seconds:.1f} s, {done / seconds:.0f} steps/s with all checks; the longest life had {longest} steps")
    print(f"exit codes: {common}")
    return 0


def numbers(seed: int) -> Iterator[int]:
    """Return the numbers that decide one life."""
    source = random.Random(seed)
    for _ in range(source.randrange(200, LONGEST_LIFE)):
        yield source.getrandbits(16)
