"""What has to run: the demand file, read with the line of every mistake."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from cloudarb_lib.documents import read_yaml
from cloudarb_lib.errors import ParameterError
from cloudarb_lib.schema import PURCHASE_OPTIONS, nearest
from cloudarb_lib.units import HOURS_PER_WEEK


@dataclass(frozen=True)
class Workload:
    """Something that has to run.

    ``amount`` is GPUs held at the same time or, for a ``batch``, GPU-hours of work a week;
    ``amounts``: of each period, where they differ; with ``deadline_weeks`` the work of these weeks may be done in any
    of them. ``throughput`` maps each acceptable GPU model to the work that one of its hours does.
    ``together`` means that all machines wait when one is taken away. ``regions``, ``not_in``
    and ``providers`` are shell patterns on region, provider/region and provider. ``count``
    workloads alike are placed as one class. ``data_gb`` lie in region ``data_in`` and are read once, or every week
    (``data_weekly``), from wherever the work runs. ``latency_ms``: longest round trip to region ``latency_to``;
    ``start_minutes``, ``stop_minutes``: paid for, without work, when a machine is taken up or given up between periods;
    ``residency``: countries, or unions of countries, it must run in. ``worth_usd_per_gpu_hour`` is what an hour of work
    is worth: dearer work is left undone; None means that all of it must run.
    """

    name: str
    amount: float
    throughput: dict[str, float] = field(hash=False)
    batch: bool = False
    count: int = 1
    amounts: tuple[float, ...] = ()
    deadline_weeks: float = math.inf
    hours_a_week: float = HOURS_PER_WEEK
    interruptible: bool = False
    together: bool = False
    checkpoint_minutes: float = 0.0
    restart_minutes: float = 0.0
    regions: tuple[str, ...] = ("*",)
    not_in: tuple[str, ...] = ()
    providers: tuple[str, ...] = ("*",)
    options: tuple[str, ...] = PURCHASE_OPTIONS
    gpu_memory_gib: float = 0.0
    memory_gib: float = 0.0
    gpus_per_instance: float = 0.0
    data_gb: float = 0.0
    data_weekly: bool = False
    data_in: str = ""
    latency_ms: float = 0.0
    latency_to: str = ""
    start_minutes: float = 0.0
    stop_minutes: float = 0.0
    residency: tuple[str, ...] = ()
    worth_usd_per_gpu_hour: float | None = None

    def __post_init__(self) -> None:
        positive = ("amount", "hours_a_week", "count")
        natural = (
            "checkpoint_minutes", "restart_minutes", "gpu_memory_gib", "memory_gib",
            "gpus_per_instance", "data_gb", "latency_ms", "start_minutes", "stop_minutes",
        )  # fmt: skip
        for name in (*positive, *natural):
            value = getattr(self, name)
            if not (value > 0 or (name in natural and value == 0)):
                raise ParameterError(
                    f"workload {self.name!r}: {name} is {value:g}.",
                    "It must be above zero." if name in positive else "It must not be negative.",
                )
        if math.isinf(self.amount):
            raise ParameterError(f"workload {self.name!r} needs an infinite amount.")
        if self.hours_a_week > HOURS_PER_WEEK:
            raise ParameterError(
                f"workload {self.name!r}: {self.hours_a_week:g} hours a week.", "A week has 168."
            )
        if not self.throughput or not all(0 < v < math.inf for v in self.throughput.values()):
            raise ParameterError(
                f"workload {self.name!r}: relative throughput must be above zero for one GPU "
                f"model at least, not {self.throughput}."
            )
        for option in self.options:
            if option not in PURCHASE_OPTIONS:
                raise ParameterError(
                    f"workload {self.name!r}: purchase option {option!r} is unknown"
                    f"{nearest(option, list(PURCHASE_OPTIONS))}.",
                    f"Use {', '.join(PURCHASE_OPTIONS)}.",
                )
        if self.worth_usd_per_gpu_hour is not None and not self.worth_usd_per_gpu_hour > 0:
            raise ParameterError(f"workload {self.name!r}: its worth must be above zero.")

    @property
    def gpu_hours_a_week(self) -> float:
        """Work of one of them in a week, in GPU-hours of throughput 1."""
        return self.amount if self.batch else self.amount * self.hours_a_week


@dataclass(frozen=True)
class Commitment:
    """Instances of a machine already committed to, paid for every hour of the plan, used or not.

    ``machine`` is provider/region/instance type; ``usd_per_hour`` of each, as contracted.
    """

    machine: str
    instances: float
    usd_per_hour: float

    def __post_init__(self) -> None:
        if not (self.instances >= 1 and self.instances == int(self.instances)):
            raise ParameterError(f"commitment to {self.machine!r}: {self.instances:g} instances.")
        if not 0 < self.usd_per_hour < math.inf:
            raise ParameterError(f"commitment to {self.machine!r} costs {self.usd_per_hour:g} USD/h.")


@dataclass(frozen=True)
class Scenario:
    """A future of the demand: its probability, and by what each workload's need is multiplied there."""

    name: str
    probability: float
    factors: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 < self.probability <= 1:
            raise ParameterError(f"scenario {self.name!r} has probability {self.probability:g}.")
        if not all(0 <= factor < math.inf for factor in self.factors.values()):
            raise ParameterError(f"scenario {self.name!r}: factors {self.factors} must not be negative.")

    @property
    def suffix(self) -> str:
        return f" in {self.name}" if self.name else ""


@dataclass(frozen=True)
class Demand:
    """What has to run, what is paid for already, and how the need may turn out."""

    workloads: list[Workload]
    commitments: tuple[Commitment, ...] = ()
    scenarios: tuple[Scenario, ...] = ()

    def __post_init__(self) -> None:
        names = [w.name for w in self.workloads]
        for i, name in enumerate(names):
            if name in names[:i]:
                raise ParameterError(f"workload {name!r} repeats.")
        total = sum(s.probability for s in self.scenarios)
        if self.scenarios and abs(total - 1) > 1e-6:
            raise ParameterError(f"probabilities of the scenarios add up to {total:g}, not 1.")
        for scenario in self.scenarios:
            for name in set(scenario.factors) - set(names):
                raise ParameterError(
                    f"scenario {scenario.name!r}: no workload {name!r}{nearest(name, names)}."
                )


_NUMBER = r"([0-9][0-9_,]*(?:\.[0-9]+)?)"


def _sentence(pattern: str, example: str) -> Callable[[object], tuple[str, ...]]:
    expression = re.compile(pattern.replace("NUMBER", _NUMBER) + r"\s*", re.IGNORECASE)

    def read(value: object) -> tuple[str, ...]:
        found = expression.fullmatch(str(value).strip())
        if not found:
            raise ValueError(f"{value!r} does not read like {example!r}")
        return tuple(found.groups())

    return read


def _float(text: str) -> float:
    return float(text.replace(",", "").replace("_", ""))


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise ValueError(f"{value!r} is not a number")
    return float(value)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r} is neither yes nor no")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{value!r} is empty or no text")
    return value


def _names(value: object) -> tuple[str, ...]:
    items = value if isinstance(value, list) else [value]
    if not items or not all(isinstance(item, str) and item for item in items):
        raise ValueError(f"{value!r} is not a name or a list of names")
    return tuple(items)


def _accepts(value: object) -> dict[str, float]:
    if isinstance(value, dict):
        return {str(model): _number(rate) for model, rate in value.items()}
    return dict.fromkeys(_names(value), 1.0)


def _needs(value: object) -> dict[str, object]:
    if isinstance(value, list) and value:  # a need for each period
        each = [_needs(item) for item in value]
        amounts = tuple(item.pop("amount") for item in each)
        if any(item != each[0] for item in each):
            raise ValueError(f"{value!r} differs in more than its amounts")
        return {**each[0], "amount": max(amounts), "amounts": amounts}  # type: ignore[type-var]
    dated = re.search(r"GPU.hours in ", str(value), re.IGNORECASE)
    if dated:
        work, weeks = map(
            _float, _sentence(r"NUMBER GPU.hours in NUMBER weeks?", "9000 GPU-hours in 4 weeks")(value)
        )
        return {"amount": work / weeks if weeks else 0.0, "batch": True, "deadline_weeks": weeks}
    batch = re.search("gpu.hours", str(value), re.IGNORECASE)
    if batch:
        read = _sentence(r"NUMBER GPU.hours a week", "4000 GPU-hours a week")
        return {"amount": _float(read(value)[0]), "batch": True}
    count, amount, model = _sentence(r"(?:([0-9]+)\s*x\s*)?NUMBER ([\w.-]+)", "64 H100")(value)
    return {"amount": _float(amount), "throughput": {model: 1.0}, "count": int(count or 1)}


def _amount_of(name: str, pattern: str, example: str) -> Callable[[object], dict[str, object]]:
    read = _sentence(pattern, example)
    return lambda value: {name: _float(read(value)[0])}


def _data(value: object) -> dict[str, object]:
    read = _sentence(r"NUMBER GB( a week)? in ([\w.-]+/[\w.-]+)", "500 GB a week in gcp/us-east4")
    size, weekly, region = read(value)
    return {"data_gb": _float(size), "data_weekly": bool(weekly), "data_in": region}


def _latency(value: object) -> dict[str, object]:
    most, region = _sentence(r"NUMBER ms to ([\w.-]+/[\w.-]+)", "40 ms to gcp/europe-west3")(value)
    return {"latency_ms": _float(most), "latency_to": region}


def _plain(name: str, read: Callable) -> Callable[[object], dict[str, object]]:
    return lambda value: {name: read(value)}


KEYS: dict[str, Callable[[object], dict[str, object]]] = {
    "workload": _plain("name", _text),
    "needs": _needs,
    "accepts": _plain("throughput", _accepts),
    "hours_a_week": _plain("hours_a_week", _number),
    "interruptible": _plain("interruptible", _flag),
    "together": _plain("together", _flag),
    "checkpoint_minutes": _plain("checkpoint_minutes", _number),
    "restart_minutes": _plain("restart_minutes", _number),
    "in": _plain("regions", _names),
    "not_in": _plain("not_in", _names),
    "providers": _plain("providers", _names),
    "options": _plain("options", _names),
    "gpu_memory_gib": _plain("gpu_memory_gib", _number),
    "memory_gib": _plain("memory_gib", _number),
    "gpus_per_instance": _plain("gpus_per_instance", _number),
    "data": _data,
    "latency": _latency,
    "start_minutes": _plain("start_minutes", _number),
    "stop_minutes": _plain("stop_minutes", _number),
    "residency": _plain("residency", _names),
    "worth": _amount_of("worth_usd_per_gpu_hour", r"NUMBER USD per GPU.hour", "2.50 USD per GPU-hour"),
}
"""Keys of an entry under ``demand``; each turns its value into fields of a Workload."""

COMMITMENT_KEYS: dict[str, Callable[[object], dict[str, object]]] = {
    "machine": _plain("machine", _text),
    "instances": _plain("instances", _number),
    "usd_per_hour": _plain("usd_per_hour", _number),
}

SCENARIO_KEYS: dict[str, Callable[[object], dict[str, object]]] = {
    "scenario": _plain("name", _text),
    "probability": _plain("probability", _number),
    "times": _plain("factors", _accepts),
}


def load_demand(path: str | Path) -> Demand:
    """Return what a demand file says (YAML: lists under ``demand``, ``commitments`` and ``scenarios``).

    Raises ParameterError with file and line for a key that is not known (naming the nearest),
    a value that does not read, a missing ``needs``, a repeated name, and an empty demand.
    """
    values, where = read_yaml(path, "data/demand*.yaml")
    lists = ("demand", "commitments", "scenarios")
    for key in values:
        if key not in lists:
            raise ParameterError(
                f"{where(key)}: key {key!r} is not known{nearest(key, list(lists))}.", f"Use {lists}."
            )

    def entries(key: str, kind: type, keys: dict, needed: dict[str, str]) -> list:
        given = values.get(key) or []
        if not isinstance(given, list):
            raise ParameterError(f"{where(key)}: {key} is no list.", "Begin each entry with '- '.")
        return [_entry(e, kind, keys, needed, partial(where, key, i)) for i, e in enumerate(given)]

    workloads = entries(
        "demand", Workload, KEYS, {"name": "workload", "amount": "needs", "throughput": "accepts"}
    )
    if not workloads:
        raise ParameterError(
            f"{where('demand')}: the demand is empty.", "List at least one '- workload: name'."
        )
    needed = dict(zip(COMMITMENT_KEYS, COMMITMENT_KEYS, strict=True))
    commitments = entries("commitments", Commitment, COMMITMENT_KEYS, needed)
    futures = entries(
        "scenarios", Scenario, SCENARIO_KEYS, {"name": "scenario", "probability": "probability"}
    )
    try:
        return Demand(workloads, tuple(commitments), tuple(futures))
    except ParameterError as cause:
        raise ParameterError(f"{where()}: {cause.what}", cause.way_out) from cause


def _entry(given: object, kind: type, keys: dict, needed: dict[str, str], where: Callable[..., str]) -> Any:
    """Return the ``kind`` that an entry's keys describe, or raise with the line of the mistake."""
    first = next(iter(keys))
    if not isinstance(given, dict):
        raise ParameterError(f"{where()}: an entry is not a mapping.", f"Begin it with '- {first}: ...'.")
    fields: dict[str, object] = {}
    for key, value in given.items():
        if key not in keys:
            raise ParameterError(
                f"{where(key)}: key {key!r} is not known{nearest(str(key), list(keys))}.",
                f"Use {', '.join(keys)}.",
            )
        try:
            new = keys[key](value)
        except ValueError as cause:
            raise ParameterError(f"{where(key)}: {key}: {cause}.") from cause
        # `accepts` may stand before or after `needs`, which names a model as a default
        fields = {**new, **fields} if key == "needs" else {**fields, **new}
    for name, shown in needed.items():
        if name not in fields:
            raise ParameterError(f"{where()}: the entry lacks {shown!r}.")
    try:
        return kind(**fields)
    except ParameterError as cause:
        raise ParameterError(f"{where()}: {cause.what}", cause.way_out) from cause


def load_workloads(path: str | Path) -> list[Workload]:
    """Return the workloads of a demand file; ParameterError where it also lists commitments or scenarios, which
    only ``load_demand`` and the command ``cloudarb allocate`` take into account."""
    demand = load_demand(path)
    if demand.commitments or demand.scenarios:
        raise ParameterError(
            f"{path} lists commitments or scenarios, which this plan would leave out.",
            "Use cloudarb allocate, or name a demand file without them.",
        )
    return demand.workloads


def demand_table(workloads: list[Workload]) -> pd.DataFrame:
    """Return the workloads as a table for people: ``workload``, ``needs``, ``on``, ``where``, ``how``."""
    rows = []
    for w in workloads:
        unit = "GPU-hours a week" if w.batch else f"GPUs, {w.hours_a_week:g} h a week"
        accepts = [m if rate == 1 else f"{m} (x{rate:g})" for m, rate in w.throughput.items()]
        where = [*w.providers, *w.regions, *(f"not {p}" for p in w.not_in)]
        rows.append(
            {
                "workload": w.name,
                "needs": f"{w.count} x {w.amount:g} {unit}" if w.count > 1 else f"{w.amount:g} {unit}",
                "on": ", ".join(accepts),
                "where": ", ".join(p for p in where if p != "*") or "anywhere",
                "how": "may be interrupted" if w.interruptible else "without interruption",
            }
        )  # fmt: skip
    return pd.DataFrame(rows)
