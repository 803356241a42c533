"""Files of every source damaged at random, for check_long: each is read or refused.

A try damages each good fixture of the sources once: bytes go, come twice, are swapped, or give way
to what is special in one of the formats.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from cloudarb_lib.base.errors import DataError
from cloudarb_lib.testing.sources import check_damaged

FIXTURES = Path(__file__).resolve().parents[1] / "tests" / "sources" / "fixtures"
MOST_DAMAGES = 6
LONGEST_DAMAGE_BYTES = 60
LONGEST_READING_S = 60.0
"""A fixture is read in milliseconds, whatever else the machine does."""
_SPECIAL = (
    b'"', b"{", b"}", b"[", b"]", b",", b";", b"\t", b"\n", b"\r", b"\0", b"\\u", b"\\ud800",
    b"null", b"NaN", b"1e999", b"-1", b"0", b"\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"=", b"'",
)  # fmt: skip


def files() -> list[Path]:
    """Return the good fixtures of all sources."""
    return sorted(path for path in FIXTURES.glob("*/good*") if path.is_file())


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Return content with a few damages at random places."""
    for _ in range(int(rng.integers(1, MOST_DAMAGES + 1))):
        begin = int(rng.integers(len(content) + 1))
        end = begin + int(rng.integers(LONGEST_DAMAGE_BYTES))
        lost = content[begin:end]
        instead = (
            b"",
            lost * 2,
            lost[::-1],
            rng.bytes(8),
            lost[:1] + _SPECIAL[rng.integers(len(_SPECIAL))] + lost[1:],
            _SPECIAL[rng.integers(len(_SPECIAL))],
        )
        content = content[:begin] + instead[rng.integers(len(instead))] + content[end:]
    return content[: int(rng.integers(len(content) + 1))] if rng.uniform() < 0.1 else content


def damaged_files(rng: np.random.Generator) -> str:
    """Damage each good fixture: what is read of it is well formed, or it is refused."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "damaged"
        for file in files():
            path.write_bytes(damaged(file.read_bytes(), rng))
            began = time.monotonic()
            try:
                check_damaged(path)
            except DataError:
                continue
            except Exception as error:
                where = f"{file.parent.name}/{file.name}"
                return f"{where} broke its reader: {type(error).__name__}: {error}"
            if time.monotonic() - began > LONGEST_READING_S:
                return f"{file.parent.name}/{file.name} took more than {LONGEST_READING_S:g} s"
    return ""
