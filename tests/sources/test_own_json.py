"""Tables of our own as JSON whose texts cannot be written as they are."""

from __future__ import annotations

from pathlib import Path

from cloudarb_lib.sources.own_json import OwnJson
from cloudarb_lib.testing import write_text


def test_half_a_surrogate_pair_is_replaced_in_names_and_values(tmp_path: Path) -> None:
    text = '{"region": "us\\ud800", "\\ud800zone": "a"}\n'
    source = OwnJson()
    (parsed,) = map(source.parse, source.fetch(write_text(tmp_path / "a.json", text)))
    (table,) = parsed.tables.values()
    table.validate(full=True)
    assert table.to_pylist() == [{"region": "us?", "?zone": "a", "line_read": 1}]
