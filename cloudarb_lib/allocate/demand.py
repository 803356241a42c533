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

_NUMBER = r"([0-9][0-9_,]*(?:\.[0-9]+)?)"
_REGION = r"([\w.-]+/[\w.-]+)"
_COUNT = r"(?:(?P<count>[0-9]+)\s*x\s*)?"
_SENTENCES = {
    "needs": {
        rf"{_COUNT}(?P<needs>{_NUMBER}) (?P<accepts>(?!GPU.hours)[\w.-]+)": "64 H100",
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
"""Keys of a workload whose value in a file is a sentence: the patterns that read it, whose groups
are fields, each with an example."""
_FLAGS = ("batch", "data_weekly")
"""Groups of the patterns that are true where their words stand."""


def _fields_in(key: str, value: object) -> dict[str, Any]:
    """Return the fields that a sentence tells; those of a list of needs, one for each period."""
    if key == "needs" and isinstance(value, list) and value:
        each = [_fields_in(key, item) for item in value]
        amounts = tuple(fields.pop("needs") for fields in each)
        if any(fields != each[0] for fields in each):
            raise _unreadable(key, f"{value!r} differs in more than its amounts.")
        return {**each[0], "needs": max(amounts), "amounts": amounts}
    for pattern in _SENTENCES[key]:
        if found := re.fullmatch(pattern, str(value).strip(), re.IGNORECASE):
            fields = {name: _typed(name, text) for name, text in found.groupdict().items() if text}
            if weeks := fields.get("deadline_weeks"):
                fields["needs"] /= weeks
            return fields
    examples = " or ".join(map(repr, _SENTENCES[key].values()))
    raise _unreadable(key, f"{value!r} does not read like {examples}.")


def _typed(name: str, text: str) -> Any:
    """Return a group of a sentence as a flag, a number or a text."""
    if name in _FLAGS:
        return True
    if re.fullmatch(_NUMBER, text):
        return float(re.sub("[,_]", "", text))
    return text


def _unreadable(key: str, fault: str) -> PydanticCustomError:
    error = ParameterError(f"{key}: {fault}")
    return PydanticCustomError("sentence", "unreadable", {"key": key, "error": error})


def _rates(value: object) -> object:
    """Return GPU models with the work of an hour: 1 where only their names are given."""
    if isinstance(value, dict):
        return {str(model): rate for model, rate in value.items()}
    return dict.fromkeys(value if isinstance(value, list) else [value], 1.0)


def _level(value: object) -> object:
    """Return the level at which a job is kept together: a region where none is named."""
    return {True: "region", False: ""}.get(value, value) if isinstance(value, bool) else value


@record
class Workload:
    """Something that has to run; in a file its keys are the aliases (docs/allocation.md).

    Parameters
    ----------
    name
        Tells it from the other workloads.
    amount
        GPUs held at the same time or, for a ``batch``, GPU-hours of work a week; with
        ``deadline_weeks`` the work of these weeks may be done in any of them.
    throughput
        Acceptable GPU models, with the work that an hour of each does.
    batch
        Whether ``amount`` is work to be done, not GPUs to be held.
    count
        So many workloads alike are placed as one class.
    amounts
        Amount of each period, where they differ.
    deadline_weeks
        When the work of a batch must be done.
    hours_a_week
        Hours in which the GPUs are held.
    interruptible
        Whether spot machines may serve it.
    together
        In what its machines, which need each other, stand together: a zone, a region, a provider,
        or anywhere; all wait when one is taken away. yes is a region; no, or nothing: each machine
        works by itself.
    checkpoint_minutes, restart_minutes
        What writing a checkpoint, and starting again after an interruption, take.
    regions, not_in, providers
        Shell patterns on region or provider/region, and on provider.
    options
        Purchase options that may serve it.
    gpu_memory_gib, memory_gib, gpus_per_instance
        Least of each machine.
    data_gb, data_weekly, data_in
        So much data lies in a region and is read once, or every week, from wherever the work runs.
    latency_ms, latency_to
        Longest round trip to a region.
    state_gb
        Copied to each new place when it moves.
    start_minutes, stop_minutes
        Paid for, without work, when a machine is taken up or given up between periods.
    residency
        Countries, or unions of countries, it must run in.
    worth_usd_per_gpu_hour
        What an hour of work is worth: dearer work is left undone; None: all of it must run.
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
    together: Annotated[
        Literal["", "anywhere", "provider", "region", "zone"], BeforeValidator(_level)
    ] = ""
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
    state_gb: NotNegative = 0.0
    start_minutes: NotNegative = 0.0
    stop_minutes: NotNegative = 0.0
    residency: Names = ()
    worth_usd_per_gpu_hour: Annotated[Positive | None, Field(alias="worth")] = None

    @model_validator(mode="before")
    @classmethod
    def _sentences(cls, given: Any) -> Any:
        if not isinstance(given, dict):  # made from Python, in fields
            return given
        fields: dict[str, Any] = {}
        for key in _SENTENCES.keys() & given.keys():
            fields |= _fields_in(key, given[key])
        return fields | {key: value for key, value in given.items() if key not in _SENTENCES}


@record
class Commitment:
    """Instances of a machine already committed to, paid for every hour of the plan, used or not.

    Parameters
    ----------
    machine
        provider/region/instance type.
    instances
        How many.
    usd_per_hour
        Of each, as contracted.
    """

    machine: Text
    instances: Annotated[Positive, Field(multiple_of=1)]
    usd_per_hour: Positive


@record
class Placement:
    """Machines on which a workload runs now.

    Parameters
    ----------
    workload
        Its name.
    offer
        provider/region/zone/instance type/option/term, as in table ``offers``.
    instances
        How many.
    """

    workload: Text
    offer: Text
    instances: Annotated[Positive, Field(multiple_of=1)]


@record
class DemandScenario:
    """A future of the demand.

    Parameters
    ----------
    name
        Stands in the plan behind the names of workloads.
    probability
        Of this future.
    factors
        By what the need of each workload is multiplied there; of others it stays.
    """

    name: Annotated[str, Field(alias="scenario")]
    probability: Share
    factors: Annotated[dict[str, NotNegative], Field(alias="times")] = field(default_factory=dict)

    @property
    def suffix(self) -> str:
        """What tells its workloads from those of other futures."""
        return f" in {self.name}" if self.name else ""


@record
class Demand:
    """What has to run, what is paid for already, how the need may turn out, and what runs now."""

    workloads: Annotated[list[Workload], Field(alias="demand")]
    commitments: tuple[Commitment, ...] = ()
    scenarios: tuple[DemandScenario, ...] = ()
    current: tuple[Placement, ...] = ()

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
        for placement in self.current:
            if placement.workload not in names:
                close = did_you_mean(placement.workload, names)
                raise ParameterError(f"current: no workload {placement.workload!r}{close}.")
        total = sum(s.probability for s in self.scenarios)
        if self.scenarios and abs(total - 1) > 1e-6:
            raise ParameterError(f"probabilities of the scenarios add up to {total:g}, not 1.")
        for scenario in self.scenarios:
            for name in set(scenario.factors) - set(names):
                raise ParameterError(
                    f"scenario {scenario.name!r}: no workload {name!r}{did_you_mean(name, names)}."
                )


def load_demand(path: str | Path) -> Demand:
    """Return what a demand file says.

    Parameters
    ----------
    path
        YAML: lists under ``demand``, ``commitments``, ``scenarios`` and ``current``.

    Raises
    ------
    ParameterError
        With file and line for a key that is not known (naming the nearest), a value that does not
        read, a missing ``needs``, a repeated name, and an empty demand.
    """
    return read(Demand, path, "data/demand*.yaml")


def load_workloads(path: str | Path) -> list[Workload]:
    """Return the workloads of a demand file.

    Parameters
    ----------
    path
        As of ``load_demand``.

    Raises
    ------
    ParameterError
        As ``load_demand``, and where it also lists commitments or scenarios, which only
        ``load_demand`` and the command ``cloudarb allocate`` take into account.
    """
    demand = load_demand(path)
    if demand.commitments or demand.scenarios:
        raise ParameterError(
            f"{path} lists commitments or scenarios, which this plan would leave out.",
            "Use cloudarb allocate, or name a demand file without them.",
        )
    return demand.workloads


def demand_table(demand: Demand) -> pd.DataFrame:
    """Return the demand as a table for people.

    Parameters
    ----------
    demand
        What has to run.

    Returns
    -------
    pd.DataFrame
        ``workload``, ``needs``, ``on``, ``where``, ``interruptible``; for each scenario by what it
        multiplies the need; what is committed to already below.
    """
    rows = [_workload_in_words(w, demand.scenarios) for w in demand.workloads]
    rows += [
        {
            "workload": "committed already",
            "needs": f"{held.instances:g} machines at {held.usd_per_hour:g} USD/h each",
            "on": held.machine,
        }
        for held in demand.commitments
    ]
    return pd.DataFrame(rows).fillna("")


def _workload_in_words(w: Workload, scenarios: tuple[DemandScenario, ...]) -> dict[str, str]:
    """Return a workload's row of ``demand_table``."""
    unit = "GPU-hours a week" if w.batch else f"GPUs, {w.hours_a_week:g} h a week"
    amounts = ", then ".join(f"{amount:g}" for amount in w.amounts or (w.amount,))
    count = f"{w.count:g} x " if w.count > 1 else ""
    models = [m if rate == 1 else f"{m} (x{rate:g})" for m, rate in w.throughput.items()]
    places = [*w.providers, *w.regions, *(f"not {place}" for place in w.not_in)]
    row = {
        "workload": w.name,
        "needs": f"{count}{amounts} {unit}",
        "on": ", ".join(models),
        "where": ", ".join(place for place in places if place != "*") or "anywhere",
        "interruptible": "yes" if w.interruptible else "no",
    }
    for future in scenarios:
        column = f"{future.name} ({future.probability:.0%})"
        row[column] = f"x {future.factors.get(w.name, 1.0):g}"
    return row
