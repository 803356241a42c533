"""How texts of a file are read: what is common by a short cut, with the same result."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta, timezone
from string import Template
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudarb_lib.sources.names.options import canonical_option
from cloudarb_lib.sources.names.providers import SPELLINGS, canonical_provider
from cloudarb_lib.store.readings import know_names, reading_of
from cloudarb_lib.store.snapshot import connect

CON = connect()
know_names(CON)


def read(column: str, dtype: str, written: str | None, **others: str) -> Any:
    """Return what a text in a column is read as; ``others`` are values beside it."""
    words = {"written": "$text", "source": "'file'", "currency": "'USD'"}
    sql = Template(reading_of("price_events", column, dtype).of_text).substitute(words)
    given = ", ".join(f"${name}::VARCHAR AS {name}" for name in others)
    query = f"SELECT {sql} FROM (SELECT 1 AS one{', ' + given if given else ''})"
    return CON.execute(query, {"text": written, **others}).fetchall()[0][0]


def time(written: str) -> datetime | None:
    found = read("effective_at", "TIMESTAMPTZ", written)
    return found.astimezone(UTC) if found else None


TIMES = st.datetimes(datetime(2000, 1, 2), datetime(2100, 1, 1))
OFFSETS = st.integers(-12 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@pytest.mark.slow
@given(TIMES, OFFSETS, st.sampled_from(["T", " "]), st.booleans())
def test_a_time_with_its_zone_is_read_as_it_stands(
    local: datetime, zone: timezone, separator: str, with_colon: bool
) -> None:
    at = local.replace(tzinfo=zone)
    written = at.isoformat(separator)
    if not with_colon:
        written = written[:-3] + written[-2:]
    assert time(written) == at


@pytest.mark.slow
@given(TIMES)
def test_the_common_form_is_read_like_any_other(at: datetime) -> None:
    whole_seconds = at.replace(microsecond=0, tzinfo=UTC)
    written = whole_seconds.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert time(written) == time(written.replace("T", " ")) == whole_seconds


@pytest.mark.parametrize(
    "written",
    [
        "2026-04-20T24:00:00Z",
        "2026-04-20T00:00:60Z",
        "2026-02-30T00:00:00Z",
        "2026-04-20T00:00:5aZ",
        "2026-04- 1T00:00:00Z",
        "2026-04-20T00:00:00+14:01",
        "2026-04-20T00:00:00+15",
        "2026-04-20T00:00:00-12:30",
        "2026-04-20T00:00:00+99:00",
        "2026-04-20T00:00:00+01:60",
        "2026-04-20T00:00:00",
        "2026-04-20",
        "1776643200",
        "infinity",
        "epoch",
        "",
    ],
)
def test_what_is_no_time_with_a_zone_is_not_read(written: str) -> None:
    assert time(written) is None


NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|infinity)", re.I | re.A)


@pytest.mark.slow
@given(st.from_regex(r"[0-9.,+eE_-]{1,7}", fullmatch=True) | st.floats(allow_nan=False).map(repr))
def test_a_number_is_what_a_number_looks_like(written: str) -> None:
    found = read("vcpus", "DOUBLE", written)
    if NUMBER.fullmatch(written):
        assert found == pytest.approx(float(written)) or math.isinf(found)
    elif found is not None:
        assert found <= 0  # DuckDB reads +-1: the rules hold such a price back
    assert read("vcpus", "DOUBLE", "nan") is None


@given(st.sampled_from(sorted(SPELLINGS)) | st.text("amzongle ws.-", max_size=12))
def test_providers_are_those_of_the_table(written: str) -> None:
    expected = canonical_provider(written.strip()) if written.strip() else ""
    assert read("provider", "VARCHAR", written.strip() or None) == expected


@pytest.mark.parametrize(
    ("option", "term"),
    [
        ("spot", None),
        ("On-Demand", None),
        ("Commit1Yr", None),
        ("reserved", "3 Years"),
        ("reserved_1y", "3y"),
        ("reserved", None),
        ("reserved", "2y"),
        ("spot", "1y"),
        ("sp0t", None),
    ],
)
def test_options_and_terms_are_those_of_the_table(option: str, term: str | None) -> None:
    stored = canonical_option(option, term or "")
    found_option = read("purchase_option", "VARCHAR", option)
    beside = {"purchase_option": found_option, "purchase_option_read": option}
    found_term = read("term", "VARCHAR", term, **beside)
    if stored is None:
        assert found_option == "" or found_term is None
    else:
        assert (found_option, found_term) == stored


@pytest.mark.parametrize(
    ("provider", "region", "stored"),
    [
        ("aws", "US-EAST-1", "us-east-1"),
        ("azure", "East US 2", "eastus2"),
        ("vast.ai", "Sweden, SE", "Sweden, SE"),
        ("gcp", None, "unstated"),
    ],
)
def test_regions_are_written_as_their_provider_writes_them(
    provider: str, region: str | None, stored: str
) -> None:
    assert read("region", "VARCHAR", region, provider=provider) == stored


@pytest.mark.parametrize(
    ("provider", "machine", "stored"),
    [
        ("aws", "p5.48XLarge", "p5.48xlarge"),
        ("azure", "Standard_NC40ads_H100_v5", "Standard_NC40ads_H100_v5"),
        ("gcp", "n1-standard-8+T4", "n1-standard-8+T4"),
    ],
)
def test_machines_are_written_as_their_provider_writes_them(
    provider: str, machine: str, stored: str
) -> None:
    assert read("instance_type", "VARCHAR", machine, provider=provider) == stored
