"""One name per provider, and what is particular to its names and prices (providers.csv).

``regions`` and ``machines`` say how their names are written: ``lower`` case, ``joined`` (lower
case without blanks: Azure's "East US" is eastus), or ``as_written``. ``price_kind`` is what its
prices are where a file does not say, ``spot_price_kind`` that of its spot prices: a price list, or
a market whose spikes are real.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cloudarb_lib.sources.names.spellings import key_of, rows_of, spellings_in


@dataclass(frozen=True)
class Provider:
    """A provider that we know.

    Parameters
    ----------
    name : str
        As in ``price_events``.
    regions, machines : str
        ``lower``, ``joined`` or ``as_written``.
    price_kind, spot_price_kind : str
        ``administered`` or ``market``.
    """

    name: str
    regions: str
    machines: str
    price_kind: str
    spot_price_kind: str


_ROWS = rows_of(Path(__file__).with_suffix(".csv"))
PROVIDERS = {
    row["provider"]: Provider(
        name=row["provider"],
        regions=row["regions"],
        machines=row["machines"],
        price_kind=row["price_kind"],
        spot_price_kind=row["spot_price_kind"],
    )
    for row in _ROWS
}
"""The providers that we know, by name; the biggest come first."""
SPELLINGS = spellings_in(_ROWS, "provider")
"""The provider of each spelling, as ``spellings.key_of`` gives it."""


_SCHEMES = {"gce": "gcp", "hcloud": "hetzner"}
"""Providers that ids of nodes call otherwise."""


def provider_of_node(node_id: str) -> str:
    """Return the provider that the id of a node names, such as aws:///us-east-1a/i-0, else ''."""
    scheme, mark, _ = node_id.partition("://")
    return canonical_provider(_SCHEMES.get(scheme, scheme)) if mark else ""


def canonical_provider(name: str) -> str:
    """Return the one name of a provider; one that is not in the table comes back lower case."""
    text = name.strip().lower()
    return SPELLINGS.get(key_of(text), text)
