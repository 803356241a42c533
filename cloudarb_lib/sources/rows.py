"""Rows of our tables as the sources of catalogues make them: prices, machines, evidence of sale."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from cloudarb_lib.sources.base import text_table

PRICE_COLUMNS = (
    "provider",
    "region",
    "zone",
    "instance_type",
    "purchase_option",
    "term",
    "currency",
    "price_usd_per_hour",
    "source",
)
"""Columns of a price without times: it is of when the file was seen, or of when it says itself."""
INSTANCE_COLUMNS = (
    "provider",
    "instance_type",
    "vcpus",
    "memory_gib",
    "gpu_model",
    "gpu_count",
    "gpu_memory_gib",
)
SPECIFICATION_COLUMNS = ("provider", "instance_type", "vcpus", "memory_gib", "gpu_count")
"""Columns of machines in lists that do not name the models of GPUs."""
EVIDENCE_COLUMNS = (
    "provider",
    "region",
    "zone",
    "instance_type",
    "purchase_option",
    "kind",
    "source",
    "sold",
    "note",
)
"""Columns of evidence without a time: it is of when the file was seen."""
WITH_TIMES = ("effective_at", "observed_at")


@dataclass(frozen=True)
class Price:
    """A price as a file has it; texts need not be understood."""

    provider: str
    region: str
    zone: str
    instance_type: str
    purchase_option: str
    price_usd_per_hour: str
    source: str
    term: str = ""
    currency: str = "USD"


@dataclass(frozen=True)
class Machine:
    """Specification of a machine as a file has it; '' where it says nothing."""

    provider: str
    instance_type: str
    vcpus: str = ""
    memory_gib: str = ""
    gpu_model: str = ""
    gpu_count: str = ""
    gpu_memory_gib: str = ""


@dataclass(frozen=True)
class Sale:
    """Evidence that a machine is sold somewhere, or that it is not."""

    provider: str
    region: str
    zone: str
    instance_type: str
    kind: str
    source: str
    purchase_option: str = ""
    sold: bool = True
    note: str = ""


@dataclass
class CatalogueTables:
    """Gathers the rows of a piece; what is said twice is kept once, at its first line."""

    _prices: dict[tuple[str, ...], int] = field(default_factory=dict)
    _machines: dict[tuple[str, ...], int] = field(default_factory=dict)
    _sales: dict[tuple[str, ...], int] = field(default_factory=dict)

    def add_price(self, line: int, price: Price, *times: str) -> None:
        """Add a price, with ``WITH_TIMES`` behind it where the file has times."""
        row = [getattr(price, name) for name in PRICE_COLUMNS]
        self._prices.setdefault((*row, *times), line)

    def add_machine(self, line: int, machine: Machine) -> None:
        """Add the specification of a machine."""
        self._machines.setdefault(tuple(getattr(machine, c) for c in INSTANCE_COLUMNS), line)

    def add_sale(self, line: int, sale: Sale, *seen_at: str) -> None:
        """Add evidence, with the time it was seen behind it where the file has times."""
        row = [str(getattr(sale, name)) for name in EVIDENCE_COLUMNS]
        self._sales.setdefault((*row, *seen_at), line)

    def tables(self, *, with_times: bool = False) -> dict[str, pa.Table]:
        """Return the tables that have rows; that of prices also where it has none."""
        price_columns = (*PRICE_COLUMNS, *(WITH_TIMES if with_times else ()))
        evidence_columns = (*EVIDENCE_COLUMNS, *(("seen_at",) if with_times else ()))
        found = {"price_events": _table(price_columns, self._prices)}
        if self._machines:
            found["instances"] = _table(INSTANCE_COLUMNS, self._machines)
        if self._sales:
            found["evidence"] = _table(evidence_columns, self._sales)
        return found


def _table(names: Sequence[str], rows: dict[tuple[str, ...], int]) -> pa.Table:
    numbered: Iterable[Sequence[object]] = ((*row, line) for row, line in rows.items())
    return text_table(names, list(numbered))
