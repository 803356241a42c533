"""What has to run: the demand file, read with the line of every mistake."""

from __future__ import annotations

import math
import re
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import BeforeValidator, Field, StrictFloat, model_validator
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError

from cloudarb_lib.base.errors import ParameterError, did_you_mean
from cloudarb_lib.base.records import Flag, Names, NotNegative, Positive, Share, Text, read, record
from cloudarb_lib.base.units import HOURS_PER_WEEK

_NUMBER, _REGION = r"([0-9][0-9_,]*(?:\.[0-9]+)?)", r"([\w.-]+/[\w.-]+)"
_SENTENCES = {
    "needs": {
        rf"(?:(?P<count>[0-9]+)\s*x\s*)?(?P<needs>{_NUMBER}) (?P<accepts>(?!GPU.hours)[\w.-]+)": "64 H100",
        rf"(?P<needs>{_NUMBER}) (?P<batch>GPU.hours) a week": "4000 GPU-hours a week",
        rf"(?P<needs>{_NUMBER}) (?P<batch>GPU.hours) in (?P<deadline_weeks>{_NUMBER}) weeks?": (
            "9000 GPU-hours in 4 weeks"
        ),
    },
    "data": {
        rf"(?P<data>{_NUMBER}) GB(?P<data_weekly> a week)? in (?P<data_in>{_REGION})": (
            "500 GB a week in gcp/us-east4"
        )
    },
    "latency": {
        rf"(?P<latency>{_NUMBER}) ms to (?P<latency_to>{_REGION})": "40 ms to gcp/europe-west3"
    },
    "worth": {rf"(?P<worth>{_NUMBER}) USD per GPU.hour": "2.50 USD per GPU-hour"},
}
"""Keys of a workload in a file whose value is a sentence: the fields that it tells, and an example."""


def _told(key: str, value: object) -> dict[str, Any]:
    """Return the fields that a sentence tells; numbers as numbers, and whether the words of a flag stand there."""
    if key == "needs" and isinstance(value, list) and value:  # a need for each period
        each = [_told(key, item) for item in value]
        amounts = tuple(item.pop("needs") for item in each)
        if all(item == each[0] for item in each):
            return {**each[0], "needs": max(amounts), "amounts": amounts}
        fault = ParameterError(f"needs: {value!r} differs in more than its amounts.")
        raise PydanticCustomError("sentence", "unreadable", {"key": key, "error": fault})
    for pattern in _SENTENCES[key]:
        if found := re.fullmatch(pattern, str(value).strip(), re.IGNORECASE):
            fields: dict[str, Any] = {
                name: said for name, said in found.groupdict().items() if said
            }
            for name, said in fields.items():
                if name in ("batch", "data_weekly"):
                    fields[name] = True
                elif re.fullmatch(_NUMBER, said):
                    fields[name] = float(re.sub("[,_]", "", said))
            if weeks := fields.get("deadline_weeks"):
                fields["needs"] /= weeks
            return fields
    fault = ParameterError(
        f"{key}: {value!r} does not read like {' or '.join(map(repr, _SENTENCES[key].values()))}."
    )
    raise PydanticCustomError("sentence", "unreadable", {"key": key, "error": fault})


def _rates(value: object) -> object:
    """Return GPU models with the work of an hour: 1 where only their names are given."""
    if isinstance(value, dict):
        return {str(model): rate for model, rate in value.items()}
    return dict.fromkeys(value if isinstance(value, list) else [value], 1.0)


@record
class Workload:
    """Something that has to run; in a file its keys are the aliases (docs/allocation.md).

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

    name: Annotated[Text, Field(alias="workload")]
    amount: Annotated[Positive, Field(alias="needs")]
    throughput: Annotated[
        dict[str, Positive], BeforeValidator(_rates), Field(alias="accepts", min_length=1)
    ] = field(hash=False)
    batch: SkipJsonSchema[Flag] = False
    count: SkipJsonSchema[Positive] = 1
    amounts: SkipJsonSchema[tuple[NotNegative, ...]] = ()
    deadline_weeks: SkipJsonSchema[Annotated[StrictFloat, Field(gt=0)]] = math.inf
    hours_a_week: Annotated[Positive, Field(le=HOURS_PER_WEEK)] = HOURS_PER_WEEK
    interruptible: Flag = False
    together: Flag = False
    checkpoint_minutes: NotNegative = 0.0
    restart_minutes: NotNegative = 0.0
    regions: Annotated[Names, Field(alias="in", min_length=1)] = ("*",)
    not_in: Names = ()
    providers: Annotated[Names, Field(min_length=1)] = ("*",)
    options: tuple[Literal["on_demand", "spot", "reserved"], ...] = (
        "on_demand",
        "spot",
        "reserved",
    )
    gpu_memory_gib: NotNegative = 0.0
    memory_gib: NotNegative = 0.0
    gpus_per_instance: NotNegative = 0.0
    data_gb: Annotated[NotNegative, Field(alias="data")] = 0.0
    data_weekly: SkipJsonSchema[Flag] = False
    data_in: SkipJsonSchema[str] = ""
    latency_ms: Annotated[NotNegative, Field(alias="latency")] = 0.0
    latency_to: SkipJsonSchema[str] = ""
    start_minutes: NotNegative = 0.0
    stop_minutes: NotNegative = 0.0
    residency: Names = ()
    worth_usd_per_gpu_hour: Annotated[Positive | None, Field(alias="worth")] = None

    @model_validator(mode="before")
    @classmethod
    def _sentences(cls, given: Any) -> Any:
        if not isinstance(given, dict):  # made from Python, in fields
            return given
        told: dict[str, Any] = {}
        for key in _SENTENCES.keys() & given.keys():
            told |= _told(key, given[key])
        return told | {key: value for key, value in given.items() if key not in _SENTENCES}


@record
class Commitment:
    """Instances of a machine already committed to, paid for every hour of the plan, used or not.

    ``machine`` is provider/region/instance type; ``usd_per_hour`` of each, as contracted.
    """

    machine: Text
    instances: Annotated[Positive, Field(multiple_of=1)]
    usd_per_hour: Positive


@record
class DemandScenario:
    """A future of the demand: its probability, and by what each workload's need is multiplied there."""

    name: Annotated[str, Field(alias="scenario")]
    probability: Share
    factors: Annotated[dict[str, NotNegative], Field(alias="times")] = field(default_factory=dict)

    @property
    def suffix(self) -> str:
        return f" in {self.name}" if self.name else ""


@record
class Demand:
    """What has to run, what is paid for already, and how the need may turn out."""

    workloads: Annotated[list[Workload], Field(alias="demand")]
    commitments: tuple[Commitment, ...] = ()
    scenarios: tuple[DemandScenario, ...] = ()

    def __post_init__(self) -> None:
        names = [w.name for w in self.workloads]
        if not names:
            raise ParameterError(
                "the demand is empty: no workload to place.",
                "List at least one '- workload: name'.",
            )
        for i, name in enumerate(names):
            if name in names[:i]:
                raise ParameterError(f"workload {name!r} repeats.")
        total = sum(s.probability for s in self.scenarios)
        if self.scenarios and abs(total - 1) > 1e-6:
            raise ParameterError(f"probabilities of the scenarios add up to {total:g}, not 1.")
        for scenario in self.scenarios:
            for name in set(scenario.factors) - set(names):
                raise ParameterError(
                    f"scenario {scenario.name!r}: no workload {name!r}{did_you_mean(name, names)}."
                )


def load_demand(path: str | Path) -> Demand:
    """Return what a demand file says (YAML: lists under ``demand``, ``commitments`` and ``scenarios``).

    Raises ParameterError with file and line for a key that is not known (naming the nearest),
    a value that does not read, a missing ``needs``, a repeated name, and an empty demand.
    """
    return read(Demand, path, "data/demand*.yaml")


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


def demand_table(demand: Demand) -> pd.DataFrame:
    """Return the demand as a table for people: ``workload``, ``needs``, ``on``, ``where``, ``interruptible``; for each
    scenario by what it multiplies the need; what is committed to already below."""
    rows = []
    for w in demand.workloads:
        unit = "GPU-hours a week" if w.batch else f"GPUs, {w.hours_a_week:g} h a week"
        amounts = ", then ".join(f"{amount:g}" for amount in w.amounts or (w.amount,))
        where = [*w.providers, *w.regions, *(f"not {p}" for p in w.not_in)]
        rows.append(
            {
                "workload": w.name,
                "needs": f"{w.count:g} x " * (w.count > 1) + f"{amounts} {unit}",
                "on": ", ".join(
                    m if rate == 1 else f"{m} (x{rate:g})" for m, rate in w.throughput.items()
                ),
                "where": ", ".join(p for p in where if p != "*") or "anywhere",
                "interruptible": "yes" if w.interruptible else "no",
            }
        )
        for s in demand.scenarios:
            rows[-1][f"{s.name} ({s.probability:.0%})"] = f"x {s.factors.get(w.name, 1.0):g}"
    for c in demand.commitments:
        each = f"{c.instances:g} machines at {c.usd_per_hour:g} USD/h each"
        rows.append({"workload": "committed already", "needs": each, "on": c.machine})
    return pd.DataFrame(rows).fillna("")
