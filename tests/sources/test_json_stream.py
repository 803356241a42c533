"""Entries of JSON text, whatever stands where a block of it ends."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudarb_lib.base.errors import DataError
from cloudarb_lib.sources import json_stream
from cloudarb_lib.sources.json_stream import Entry, PageEnd, entries_in

SCALARS = st.one_of(
    st.none(), st.booleans(), st.text(max_size=8), st.sampled_from(["{", "]", '"', "\\", "\n"])
)
ENTRIES = st.lists(st.dictionaries(st.text(max_size=4), SCALARS, max_size=4), max_size=6)
INDENTS = st.sampled_from([None, 0, 2])


def found_in(text: str) -> list[Entry | PageEnd]:
    return list(entries_in(io.StringIO(text), lambda name: name == "items"))


def values_in(text: str) -> list[dict[str, object]]:
    return [found.values for found in found_in(text) if isinstance(found, Entry)]


@pytest.fixture(params=[1, 3, 7, 2**20])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Blocks of each size: what stands at their ends is read all the same."""
    monkeypatch.setattr(json_stream, "BLOCK_CHARACTERS", request.param)
    return int(request.param)


@pytest.mark.usefixtures("block")
def test_each_form_gives_the_same_entries() -> None:
    rows = [{"a": "1"}, {"a": None, "b": {"c": ["{"]}}]
    forms = [
        json.dumps(rows),
        json.dumps({"items": rows, "next": None}, indent=4),
        json.dumps([{"items": rows[:1]}, {"next": "x", "items": rows[1:]}]),
        "\n".join(map(json.dumps, rows)),
        json.dumps({"items": rows[:1]}) + "\ufeff\r\n" + json.dumps({"items": rows[1:]}),
    ]
    for form in forms:
        assert values_in(form) == rows, form


@pytest.mark.usefixtures("block")
def test_lines_and_numbers_are_those_of_the_text() -> None:
    text = (
        '{"count": 12,\n"items": [\n{"price":\n0.050}, {"price": 1e9},\n\n{"price": NaN}], "n": 7}'
    )
    assert found_in(text) == [
        Entry(3, {"price": "0.050"}),
        Entry(4, {"price": "1e9"}),  # begins on the line on which the one before it ends
        Entry(6, {"price": "NaN"}),
        PageEnd({"count": "12", "n": "7"}),
    ]


def test_entries_of_one_line_have_numbers_of_their_own() -> None:
    found = found_in("[{}, {}, {}]\n{}\n\n{}")
    assert [entry.line for entry in found if isinstance(entry, Entry)] == [1, 2, 3, 4, 5]


@pytest.mark.usefixtures("block")
def test_pages_of_a_line_each_are_numbered_entry_by_entry() -> None:
    text = '{"items": [{"a": 1}, {"a": 2}], "next": "x"}\n{"items": []}\n{"items":[{"a": 3}]}'
    assert found_in(text) == [
        Entry(1, {"a": "1"}),
        Entry(2, {"a": "2"}),
        PageEnd({"next": "x"}),
        PageEnd({}),
        Entry(3, {"a": "3"}),
        PageEnd({}),
    ]


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize(
    "text",
    [
        '[{"a": 1}, 2]',
        '[{"a": 1}',
        '[{"a": 1} {"a": 2}]',
        '{"items": [{"a": 1}], }',
        '{"items": [{"a": 1}]',
        '{"items": [{"a": 1}, 2]}',
        '{"items" [{"a": 1}]}',
        '{1: [{"a": 1}]}',
        '{"a": "cut',
        "7",
        "[[]]",
        "[" * 100_000,
        '{"a": ' * 100_000,
    ],
)
def test_what_is_no_listing_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="no complete JSON of entries: broken near line 1"):
        found_in(text)


def test_a_value_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "BLOCK_CHARACTERS", 100)
    monkeypatch.setattr(json_stream, "LONGEST_VALUE_CHARACTERS", 1000)
    file = io.StringIO('[{"a": "' + "x" * 10_000)
    with pytest.raises(DataError, match="Unterminated"):
        list(entries_in(file, lambda name: False))
    assert file.tell() < 2000


@pytest.mark.slow
@given(entries=ENTRIES, indent=INDENTS, block=st.integers(1, 40), is_page=st.booleans())
def test_entries_come_back(
    entries: list[dict[str, object]], indent: int | None, block: int, is_page: bool
) -> None:
    text = json.dumps({"items": entries} if is_page else entries, indent=indent)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "BLOCK_CHARACTERS", block)
        assert values_in(text) == entries


@pytest.mark.slow
@given(st.text(alphabet='{}[]:,"\\ \n1aeE-.', max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found_in(text)
    except DataError:
        return
    assert not text.strip() or any(mark in text for mark in "{[")
