"""Numbers as catalogues write them: digits are kept, what is none comes back for the store."""

from __future__ import annotations

import pytest

from cloudarb_lib.sources.numbers import decimal_of, divided, number_of, sum_of


@pytest.mark.parametrize("text", ["1e999999", "-1e400", "inf", "NaN", "sNaN", "", "1,5", "one"])
def test_what_is_no_number_of_ours_comes_back(text: str) -> None:
    assert decimal_of(text) is None
    assert number_of(text) is None
    assert sum_of(["1", text]) == text
    assert divided(text, 3) == text


def test_digits_are_kept() -> None:
    assert sum_of(["0.1", "0.2"]) == "0.3"
    assert divided("1.0", 8) == "0.1250000000"
    assert number_of(" 1e3 ") == 1000.0
