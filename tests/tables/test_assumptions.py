"""Assumptions: which figures were asked for, and what is not there."""

import pytest

from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.tables import assumptions


def test_assumptions_remember_what_was_used(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text(
        "name,value,unit,source,date\ncap_h100,8,GPU,guess,2026-01-01\ncap,4,GPU,guess,2026-01-01\n"
    )
    book = assumptions.load_assumptions(file)
    assert book.has("cap_h100")
    assert not book.has("cap_l4")
    assert book.get("cap_l4", "cap") == 4
    assert book.used["name"].tolist() == ["cap"]
    with pytest.raises(ParameterError, match="did you mean 'cap_h100'"):
        book.get("cap_h10")
    with pytest.raises(ParameterError, match="no assumption file"):
        assumptions.load_assumptions(tmp_path / "none.csv")
