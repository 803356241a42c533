"""Google Cloud's prices as Cyclenerd's pricing calculator publishes them: its pricing.yml.

The bundled history of Google Cloud was read from the versions of this file, so a newer one carries
that record on: it shows every machine and region at the time that it names. A month of a commitment
is brought to an hour; one that costs as much as on demand is not offered. A price of nought says
that there is none.

References
----------
https://github.com/Cyclenerd/google-cloud-pricing-cost-calculator
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from cloudarb_lib.base.errors import DataError
from cloudarb_lib.base.units import HOURS_PER_YEAR
from cloudarb_lib.sources.base import PIECE_ROWS, Match, Parsed, Scope, Source, open_text
from cloudarb_lib.sources.numbers import decimal_of, number_of
from cloudarb_lib.sources.rows import CatalogueTables, Machine, Price

_MARK = b"google-cloud-pricing-cost-calculator"
_LINE = re.compile(r"( *)([\w.+-]+):(?: +(.*?))?\s*")
_GPU = re.compile(r"(?:nvidia|a100|h100|h200|b200|gb200|k80|l4|p100|p4|t4|v100|rtx)[\w.-]*")
_GPU_MODELS = {"a100": "a100-40gb", "h100-80gb-mega": "h100-80gb", "rtx6000": "rtx-pro-6000"}
"""GPU models that the file calls by a name of its own."""
_HOURS_A_MONTH = HOURS_PER_YEAR / 12
_DECIMALS = 8
_OPTIONS = {
    "hour": ("on_demand", ""),
    "hour_spot": ("spot", ""),
    "month_1y": ("reserved", "1y"),
    "month_3y": ("reserved", "3y"),
}
"""Keys of a price, and the option and term that it is for; others follow from these."""


@dataclass(frozen=True)
class MachineEntry:
    """What the file says of a machine: values, by path below its name, each with its line."""

    name: str
    values: dict[tuple[str, ...], tuple[str, int]]


@dataclass(frozen=True)
class CalculatorPiece:
    """Machines of the file, the time of its prices, and whether it has been read to its end."""

    machines: list[MachineEntry]
    seen_at: str
    is_end: bool = False


class GcpCalculator(Source[CalculatorPiece]):
    """Prices of all machines in all regions: on demand, spot, and commitments."""

    name = "gcp"

    def recognises(self, head: bytes) -> Match:
        has_sections = re.search(rb"(?m)^about:\s*$", head) is not None
        return Match.OWN if has_sections and _MARK in head else Match.NO

    def fetch(self, path: Path) -> Iterator[CalculatorPiece]:
        """Read the file line by line: it is one mapping in another, indented by two blanks."""
        seen_at = ""
        machines: list[MachineEntry] = []
        values = 0
        sections: list[str] = []
        with open_text(path) as file:
            for number, keys, value in _values_in(file):
                if keys[0] not in sections:
                    sections.append(keys[0])
                if keys == ("about", "timestamp"):
                    seen_at = _time_of(value)
                if keys[:2] != ("compute", "instance") or len(keys) < 4:
                    continue
                if not machines or machines[-1].name != keys[2]:
                    if values >= PIECE_ROWS:
                        yield CalculatorPiece(machines, seen_at)
                        machines = []
                        values = 0
                    machines.append(MachineEntry(keys[2], {}))
                machines[-1].values[keys[3:]] = (value, number)
                values += 1
        if not seen_at or not machines:
            raise DataError(
                "it is no pricing.yml with a timestamp and machines.", "Download it again."
            )
        yield CalculatorPiece(machines, seen_at, is_end=sections[-1] != "compute")

    def parse(self, piece: CalculatorPiece) -> Parsed:
        rows = CatalogueTables()
        for machine in piece.machines:
            _add_machine(rows, machine)
            costs = [keys for keys in machine.values if keys[0] == "cost" and len(keys) > 1]
            for region in dict.fromkeys(region for _, region, *_ in costs):
                self._add_prices(rows, machine, region)
        whole = (Scope("gcp"),) if piece.is_end else ()
        return Parsed(rows.tables(), [], whole=whole, seen_at=piece.seen_at)

    def _add_prices(self, rows: CatalogueTables, machine: MachineEntry, region: str) -> None:
        told = {key: machine.values.get(("cost", region, key)) for key in (*_OPTIONS, "month")}
        month = decimal_of(told["month"][0]) if told["month"] else None
        hour = decimal_of(told["hour"][0]) if told["hour"] else None
        for key, (option, term) in _OPTIONS.items():
            found = told[key]
            if found is None:
                continue
            written, line = found
            exact = decimal_of(written)
            if exact == 0 or (term and _is_as_on_demand(exact, month, hour)):
                continue
            price = Price(
                provider="gcp",
                region=region,
                zone="",
                instance_type=machine.name,
                purchase_option=option,
                term=term,
                price_usd_per_hour=_by_the_hour(written, _HOURS_A_MONTH if term else 1.0),
                source=self.name,
            )
            rows.add_price(line, price)


def _values_in(lines: Iterable[str]) -> Iterator[tuple[int, tuple[str, ...], str]]:
    """Yield line, keys from the outermost on, and text of each value."""
    outer: list[tuple[int, str]] = []
    for number, line in enumerate(lines, 1):
        match = _LINE.fullmatch(line.rstrip("\r\n"))
        if match is None:
            continue
        indent = len(match[1])
        while outer and outer[-1][0] >= indent:
            outer.pop()
        outer.append((indent, match[2]))
        if match[3]:
            yield number, tuple(key for _, key in outer), match[3].strip("'\"")


def _time_of(timestamp: str) -> str:
    try:
        time = datetime.fromtimestamp(int(timestamp), UTC)
    except (ValueError, OverflowError, OSError):
        return ""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def _is_as_on_demand(month: Decimal | None, plain: Decimal | None, hour: Decimal | None) -> bool:
    """Tell whether a month under a commitment costs what it costs without one."""
    if month is None:
        return False
    by_hour = hour * int(_HOURS_A_MONTH) if hour is not None else None
    tolerance = Decimal("1e-6")
    return any(
        other is not None and abs(month - other) <= tolerance * abs(other)
        for other in (plain, by_hour)
    )


def _by_the_hour(written: str, hours: float) -> str:
    """Return a price of so many hours as the record has it: to eight decimals, in floats.

    Otherwise every price would differ from the record in its last digit.
    """
    number = number_of(written)
    return written if number is None else repr(round(number / hours, _DECIMALS))


def _add_machine(rows: CatalogueTables, machine: MachineEntry) -> None:
    """Add the specification of a machine, where the file tells cores and memory."""
    cores = machine.values.get(("cpu",))
    memory = machine.values.get(("ram",))
    if cores is None or memory is None:
        return
    gpus = [(keys[0], value) for keys, value in machine.values.items() if _GPU.fullmatch(keys[0])]
    model, count = (gpus[0][0], gpus[0][1][0]) if gpus else ("", "0")
    model = _GPU_MODELS.get(model, model)
    rows.add_machine(
        cores[1],
        Machine("gcp", machine.name, cores[0], memory[0], gpu_model=model, gpu_count=count),
    )
