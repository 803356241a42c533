"""Spellings of providers, and what is particular to their names."""

from __future__ import annotations

import pandas as pd
import pytest

from cloudarb_lib.base import locations
from cloudarb_lib.sources.names.providers import PROVIDERS, SPELLINGS, canonical_provider
from cloudarb_lib.sources.names.spellings import key_of


@pytest.mark.parametrize(
    ("name", "spelling"),
    [
        ("aws", "Amazon"),
        ("aws", "Amazon Web Services"),
        ("gcp", "google"),
        ("gcp", "Google Cloud Platform"),
        ("azure", "Microsoft Azure"),
        ("vast.ai", "vastai"),
        ("vast.ai", "Vast"),
        ("lambdalabs", "Lambda Labs"),
        ("datacrunch", "verda"),
        ("crusoecloud", "Crusoe"),
        ("digitalocean", "DO"),
        ("oci", " OCI "),
    ],
)
def test_spellings_come_to_one_name(name: str, spelling: str) -> None:
    assert canonical_provider(spelling) == name
    assert canonical_provider(name) == name


def test_an_unknown_provider_keeps_its_name() -> None:
    assert canonical_provider("My Renter") == "my renter"
    assert canonical_provider("awss") == "awss"


def test_no_spelling_has_two_meanings() -> None:
    stems = [key_of(name) for name in PROVIDERS]
    assert len(set(stems)) == len(stems)
    assert all(SPELLINGS[stem] == name for stem, name in zip(stems, PROVIDERS, strict=True))


def test_every_provider_of_the_bundled_history_is_known() -> None:
    bundled = pd.read_csv(locations.data() / "instances.csv")["provider"].unique()
    assert set(bundled) <= set(PROVIDERS)


def test_words_of_the_table_are_those_that_the_rules_read() -> None:
    for provider in PROVIDERS.values():
        assert {provider.regions, provider.machines} <= {"lower", "joined", "as_written"}
        assert {provider.price_kind, provider.spot_price_kind} <= {"administered", "market"}
