"""Random numbers as a function of what they are for, and of nothing else.

Philox is a counter-based generator: keyed with a hash of (seed, fold, stage, step, …) it gives the
same numbers on any machine, in any order, however often a run was interrupted before. What torch draws from
its own generator can differ in the last bits between processors.
"""

import hashlib

import numpy as np


def generator(*purpose: object) -> np.random.Generator:
    """The generator for a purpose, named by plain values: `generator(seed, fold, "views", step)`."""
    key = np.frombuffer(_digest(purpose)[:16], dtype="<u8")
    return np.random.Generator(np.random.Philox(key=key))


def torch_seed(*purpose: object) -> int:
    """A seed for torch's own generator, for what torch draws itself: initial weights, dropout."""
    return int.from_bytes(_digest(purpose)[:8], "little") >> 1


def _digest(purpose: tuple[object, ...]) -> bytes:
    return hashlib.sha256("/".join(map(str, purpose)).encode()).digest()
