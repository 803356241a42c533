"""Digests: one for values that a result rests on, one for files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

FILE_DIGITS = 16


def digest_values(*values: object) -> str:
    """Return the SHA-256 of numbers, texts, bytes and arrays.

    Parameters
    ----------
    *values : object
        Arrays count by type, shape and bytes, everything else by its ``repr``.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    found = hashlib.sha256()
    for value in values:
        if isinstance(value, np.ndarray):
            found.update(repr((value.dtype, value.shape)).encode())
            found.update(np.ascontiguousarray(value).tobytes())
        else:
            found.update(repr(value).encode())
    return found.hexdigest()


def digest_files(paths: Iterable[Path]) -> str:
    """Return 16 hexadecimal digits of SHA-256 over the names and bytes of files, in that order."""
    named = [value for path in paths for value in (path.name, path.read_bytes())]
    return digest_values(*named)[:FILE_DIGITS]
