"""SkyPilot's catalogue of a cloud: vms.csv, a row for each machine in each zone where it is listed.

It says neither whose prices it holds nor when it was made: the name of the file or its folder tells
the cloud, else its machines do. A spot price of nought means that there is none. The catalogue of
Google Cloud splits a price into host and GPUs, which are put together here.

References
----------
https://github.com/skypilot-org/skypilot-catalog
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from cloudarb_lib.sources.base import Parsed, Reason, UnreadRow
from cloudarb_lib.sources.csv_catalogue import CatalogueLines, CsvCatalogue
from cloudarb_lib.sources.machine_patterns import (
    PROVIDER_UNSTATED,
    provider_by_machines,
    provider_by_name,
)
from cloudarb_lib.sources.names.gpus import with_form_of_machine
from cloudarb_lib.sources.numbers import number_of, sum_of
from cloudarb_lib.sources.rows import CatalogueTables, Machine, Price, Sale

GPU_PART_UNPRICED = Reason(
    "gpu_part_unpriced",
    "has a price without its GPUs, and the catalogue prices none for it in this zone",
    "take its price from another source",
)
ON_DEMAND_IS_REGIONAL = ("aws", "azure", "gcp")
SPOT_IS_REGIONAL = ("azure", "gcp")
"""Clouds that ask one price in all zones of a region: their zones are evidence of sale alone."""
LARGEST_MEMORY_IN_GIB = 2048
"""A memory of a GPU below this is written in GiB, whatever the name of its field says."""
NO_GPUS = re.compile(r"(?i)(?:trainium|inferentia|gaudi|tpu|qualcomm|neuron).*")
"""Accelerators that the catalogue lists beside GPUs."""
Row = dict[str, str]


class SkyPilotCatalogue(CsvCatalogue):
    """What a cloud asks for its machines, and in which zones it lists them."""

    name = "skypilot-catalog"
    second_hand = True
    marks = frozenset({"InstanceType", "AcceleratorName", "AcceleratorCount", "Price", "Region"})
    numbers = frozenset({"AcceleratorCount", "vCPUs", "MemoryGiB", "Price", "SpotPrice"})
    texts = frozenset({"GpuInfo", "AvailabilityZone"})

    def fetch(self, path: Path) -> Iterator[CatalogueLines]:
        """Yield the file in one piece: host and GPUs of a machine may stand far apart."""
        pieces = list(super().fetch(path))
        if pieces:
            lines = [line for piece in pieces for line in piece.lines]
            yield CatalogueLines(path, 1, pieces[0].layout, lines)

    def parse(self, piece: CatalogueLines) -> Parsed:
        unread: list[UnreadRow] = []
        rows = list(piece.rows(unread))
        machines = {row["InstanceType"] for _, row in rows} - {""}
        provider = (
            provider_by_name(piece.path) or provider_by_machines(machines) or _folder(piece.path)
        )
        if not provider:
            unread += [
                UnreadRow(line, PROVIDER_UNSTATED, f"machine {row['InstanceType']!r}", str(row))
                for line, row in rows
            ]
            return Parsed(CatalogueTables().tables(), unread)
        catalogue = _Catalogue(provider, self.name)
        if provider == "gcp":
            catalogue.gpu_prices = _gpu_rows(rows)
        for line, row in rows:
            if row["InstanceType"]:
                catalogue.add(line, row, unread)
            else:
                catalogue.add_accelerator(line, row)
        return Parsed(catalogue.rows.tables(), unread, notices=catalogue.notices())


@dataclass
class _Catalogue:
    """Rows of one cloud, gathered.

    Parameters
    ----------
    provider, source : str
        As in ``price_events``.
    gpu_prices : dict
        Rows of GPUs that Google Cloud prices apart, by GPU, count and zone.
    tpu_rows : int
        Rows of TPUs.
    """

    provider: str
    source: str
    gpu_prices: dict[tuple[str, str, str], Row] = field(default_factory=dict)
    rows: CatalogueTables = field(default_factory=CatalogueTables)
    tpu_rows: int = 0

    def add(self, line: int, row: Row, unread: list[UnreadRow]) -> None:
        """Add a machine in a zone: its prices, its specification, the evidence that it is sold."""
        parts = [row]
        if self.provider == "gcp" and (built_in := built_in_gpus(row["InstanceType"])):
            accelerator, count = built_in
            gpus = self.gpu_prices.get((accelerator, count, row.get("AvailabilityZone", "")))
            if gpus is None:
                subject = f"machine {row['InstanceType']!r}"
                unread.append(UnreadRow(line, GPU_PART_UNPRICED, subject, str(row)))
                return
            parts.append(gpus)
        self.rows.add_machine(line, _machine(self.provider, parts))
        if self.provider == "gcp":
            self._add_sale(line, row, row["InstanceType"], "")
        for column, option in (("Price", "on_demand"), ("SpotPrice", "spot")):
            written = [part.get(column, "") for part in parts]
            if not any(_is_absent(price, option) for price in written):
                self._add_price(line, row, option, sum_of(written))

    def _add_price(self, line: int, row: Row, option: str, price: str) -> None:
        regional = ON_DEMAND_IS_REGIONAL if option == "on_demand" else SPOT_IS_REGIONAL
        zone = "" if self.provider in regional else row.get("AvailabilityZone", "")
        self.rows.add_price(
            line,
            Price(
                provider=self.provider,
                region=row["Region"],
                zone=zone,
                instance_type=row["InstanceType"],
                purchase_option=option,
                price_usd_per_hour=price,
                source=self.source,
            ),
        )
        if self.provider != "gcp":
            self._add_sale(line, row, row["InstanceType"], option)

    def add_accelerator(self, line: int, row: Row) -> None:
        """Add what a row without a machine says: where a GPU can be attached to a machine."""
        name = row["AcceleratorName"]
        if name in _attachable():
            self._add_sale(line, row, f"n1-*+{name}", "")
        elif name.startswith("tpu"):
            self.tpu_rows += 1

    def _add_sale(self, line: int, row: Row, machine: str, option: str) -> None:
        self.rows.add_sale(
            line,
            Sale(
                provider=self.provider,
                region=row["Region"],
                zone=row.get("AvailabilityZone", ""),
                instance_type=machine,
                kind="zone_list" if self.provider == "gcp" else "catalogue",
                source=self.source,
                purchase_option=option,
            ),
        )

    def notices(self) -> tuple[str, ...]:
        """Say what was left out."""
        if not self.tpu_rows:
            return ()
        return (f"rows of TPUs, which are no GPUs, left out: {self.tpu_rows:,}",)


def _folder(path: Path) -> str:
    """Return the folder that SkyPilot names after a cloud, '' where the file is not called so."""
    return path.parent.name.lower() if path.name.startswith("vms.") else ""


def _gpu_rows(rows: list[tuple[int, Row]]) -> dict[tuple[str, str, str], Row]:
    """Return the rows of Google Cloud that price GPUs apart, by GPU, count and zone."""
    return {
        (
            row["AcceleratorName"],
            _count(row["AcceleratorCount"]),
            row.get("AvailabilityZone", ""),
        ): row
        for _, row in rows
        if not row["InstanceType"]
    }


def _count(written: str) -> str:
    """Return a count as people write it: 8 for 8.0."""
    return written.removesuffix(".0")


def _is_absent(price: str, option: str) -> bool:
    """Tell whether a cell says that there is no such price; a list price of nought is a fault."""
    if price.lower() in ("", "nan"):
        return True
    return option == "spot" and number_of(price) == 0


def _machine(provider: str, parts: list[Row]) -> Machine:
    """Return the specification of a machine; its GPUs stand in the last of its parts."""
    host = parts[0]
    gpus = parts[-1]
    count = _count(gpus["AcceleratorCount"])
    named = "" if NO_GPUS.fullmatch(gpus["AcceleratorName"]) else gpus["AcceleratorName"]
    return Machine(
        provider=provider,
        instance_type=host["InstanceType"],
        vcpus=host.get("vCPUs", ""),
        memory_gib=host.get("MemoryGiB", ""),
        gpu_model=_gpu_model(host["InstanceType"], gpus) if named else "",
        gpu_count=count if named else "0",
        gpu_memory_gib=_gpu_memory_gib(gpus.get("GpuInfo", ""), count) if named else "",
    )


def _gpu_model(machine: str, gpus: Row) -> str:
    """Return the fullest name of a GPU: the catalogue's own leaves out form and size."""
    if told_by_machine := re.fullmatch(r"\d+x-(\w+)-\d+-\d+", machine):
        return told_by_machine[1]
    told_by_info = re.search(r"'Name': '([^']+)'", gpus.get("GpuInfo", ""))
    named = gpus["AcceleratorName"]
    if told_by_info and told_by_info[1].startswith(named.split("-")[0]):
        named = told_by_info[1]
    return with_form_of_machine(named, machine)


def _gpu_memory_gib(info: str, count: str) -> str:
    """Return the memory of one GPU in GiB, '' where the column GpuInfo does not tell it.

    That column is the text of a Python literal: it is searched, never run. Some clouds write the
    memory of all GPUs into the field of one, and GiB into a field called MiB.
    """
    total = re.search(r"'TotalGpuMemoryInMiB': (\d+(?:\.\d+)?)", info)
    single = re.search(r"'SizeInMiB': (\d+(?:\.\d+)?)", info)
    gpus = number_of(count)
    if total and gpus:
        memory = float(total[1]) / gpus
    elif single:
        memory = float(single[1])
    else:
        return ""
    return str(memory if memory < LARGEST_MEMORY_IN_GIB else memory / 1024)


@cache
def _gpu_table() -> list[tuple[re.Pattern[str], str, str]]:
    path = Path(__file__).with_name("skypilot_gcp_gpus.csv")
    with path.open(encoding="utf-8", newline="") as file:
        return [
            (re.compile(row["machines"]), row["accelerator"], row["count"])
            for row in csv.DictReader(file)
        ]


@cache
def _attachable() -> frozenset[str]:
    return frozenset(name for _, name, count in _gpu_table() if count == "any")


def built_in_gpus(machine: str) -> tuple[str, str] | None:
    """Return the GPU that a machine of Google Cloud is built with and how many, else None.

    Machines of the families a and g have GPUs, also those that the table lacks: of these the name
    and the number are ''.
    """
    for pattern, accelerator, count in _gpu_table():
        if match := pattern.fullmatch(machine):
            return accelerator, count or match[1]
    return ("", "") if re.match(r"[ag]\d", machine) and machine != "g1-small" else None
