"""Damaged files of every source: each is read or refused, none breaks the reader."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloudarb_lib.base.errors import DataError
from cloudarb_lib.sources import registry
from cloudarb_lib.testing.sources import check_damaged

FIXTURES = Path(__file__).parent / "fixtures"
FILES = sorted(
    path for path in FIXTURES.glob("*/*") if path.name.startswith("good") and path.is_file()
)
DAMAGE = st.lists(
    st.tuples(
        st.integers(0, 5000),  # where
        st.integers(0, 40),  # how many bytes go
        st.one_of(
            st.binary(max_size=8),
            st.sampled_from([b"\0", b'"', b"{", b"]", b",", b"\r", b"\n\n", b"\\u", b"NaN", b"-1"]),
        ),  # what stands there instead
    ),
    min_size=1,
    max_size=3,
)


def damaged(content: bytes, damage: list[tuple[int, int, bytes]]) -> bytes:
    for place, length, inserted in damage:
        place %= len(content) + 1
        content = content[:place] + inserted + content[place + length :]
    return content


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES, ids=lambda path: f"{path.parent.name}-{path.name}")
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(damage=DAMAGE)
def test_a_damaged_file_is_read_or_refused(
    file: Path, damage: list[tuple[int, int, bytes]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "damaged"
        path.write_bytes(damaged(file.read_bytes(), damage))
        with contextlib.suppress(DataError):
            check_damaged(path)


def test_a_machine_whose_cost_is_one_number_gives_no_price(tmp_path: Path) -> None:
    text = (FIXTURES / "gcp" / "good.yml").read_text()
    head, _, _ = text.partition("      cost:\n")
    path = tmp_path / "pricing.yml"
    path.write_text(head + "      cost: 3.67\n")
    (piece,) = registry.read(path)
    assert "price_events" not in piece.tables or piece.tables["price_events"].num_rows == 0
