"""Listings of clouds as JSON and CSV: what breaks in them gives rows, or an error of ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudarb_lib import store
from cloudarb_lib.base.errors import DataError
from cloudarb_lib.sources import registry
from cloudarb_lib.sources.aws_offerings import region_of
from cloudarb_lib.sources.base import LINE, Match
from cloudarb_lib.sources.json_files import documents_in
from cloudarb_lib.testing import INGESTED_AT, ingest

FIXTURES = Path(__file__).parent / "fixtures"
NAMES = (
    "aws-instance-types",
    "aws-offerings",
    "aws-price-list",
    "aws-savings-plans",
    "aws-spot-advisor",
    "azure-skus",
    "ccf-grid-factors",
    "gcp-region-carbon",
    "gcp-zone-lists",
)
GOOD = [path for name in NAMES for path in sorted((FIXTURES / name).glob("good*"))]
SOURCES = {source.name: source for source in registry.registered()}
JSON_LISTINGS = {
    "aws-instance-types": '{"InstanceTypes": [%s]}',
    "aws-offerings": '{"InstanceTypeOfferings": [%s]}',
    "azure-skus": '{"value": [%s]}',
    "gcp-zone-lists": '{"items": [%s]}',
}
KEYS = [
    "InstanceType",
    "Location",
    "LocationType",
    "GpuInfo",
    "Gpus",
    "Name",
    "name",
    "zone",
    "guestCpus",
    "memoryMb",
    "accelerators",
    "deprecated",
    "state",
    "restrictions",
    "resourceType",
    "locations",
    "locationInfo",
    "capabilities",
    "value",
    "type",
]
TEXTS = st.text(st.characters(codec=None), max_size=6)  # halves of a surrogate pair among them
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6)
    ),
    max_leaves=20,
)


def tables_of(name: str, path: Path) -> list:
    """Return the tables that a source makes of a file."""
    source = SOURCES[name]
    return [source.parse(piece).tables for piece in source.fetch(path)]


@pytest.mark.parametrize("path", GOOD, ids=lambda path: f"{path.parent.name}-{path.name}")
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_damaged_file_gives_rows_or_an_error_of_ours(path, tmp_path_factory, data):
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    damaged = tmp_path_factory.mktemp("damaged") / path.name
    damaged.write_bytes(bytes(content))
    try:
        found = tables_of(path.parent.name, damaged)
    except DataError:
        return
    for tables in found:
        for rows in tables.values():
            lines = rows[LINE].to_pylist()
            assert len(set(lines)) == len(lines)


@pytest.mark.parametrize("name", JSON_LISTINGS)
@settings(max_examples=40, deadline=None)
@given(value=VALUES)
def test_odd_values_in_a_listing_break_nothing(name, tmp_path_factory, value):
    file = tmp_path_factory.mktemp("odd") / "listing.json"
    file.write_text(JSON_LISTINGS[name] % json.dumps(value))
    for tables in tables_of(name, file):
        assert all(set(rows[LINE].to_pylist()) <= {1} for rows in tables.values())


@pytest.mark.parametrize("path", GOOD, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_the_head_of_a_file_is_enough_to_tell_it(path):
    head = path.read_bytes()[:4096]
    for name, source in SOURCES.items():
        is_own = source.recognises(head) is Match.OWN
        assert is_own == (name == path.parent.name)


def test_half_a_surrogate_pair_is_held_back(tmp_path):
    offering = '{"InstanceType": "m5\\ud800", "LocationType": "region", "Location": "us-east-1"}'
    file = tmp_path / "listing.json"
    file.write_text(f'{{"InstanceTypeOfferings": [{offering}]}}')
    report = ingest(tmp_path / "s", store.Batch(file, seen_at=INGESTED_AT))
    assert dict(report.quarantined) == {"key_not_plain": 1}


def test_documents_follow_one_another(tmp_path):
    file = tmp_path / "pages.json"
    file.write_text(' {"a": 1}\n\n[2]{"b": 3} ')
    found = list(documents_in(file, name="page", way_out="again"))
    assert found == [{"a": 1}, [2], {"b": 3}]


@pytest.mark.parametrize("text", ["", "  ", '{"a": 1', '{"a": 1} x', "[" * 100_000])
def test_what_is_no_whole_document_is_refused(text, tmp_path):
    file = tmp_path / "pages.json"
    file.write_text(text)
    with pytest.raises(DataError, match="no whole page"):
        list(documents_in(file, name="page", way_out="again"))


@pytest.mark.parametrize(
    ("place", "region"),
    [
        ("us-east-1", "us-east-1"),
        ("eu-central-1b", "eu-central-1"),
        ("us-west-2-lax-1a", "us-west-2"),
        ("use1-az4", "us-east-1"),
        ("apse2-az1", "ap-southeast-2"),
        ("usgw1-az2", "us-gov-west-1"),
        ("", ""),
        ("outpost", ""),
    ],
)
def test_a_place_lies_in_its_region(place, region):
    assert region_of(place) == region
