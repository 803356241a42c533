"""A workload: what has to run, and under what conditions."""

from __future__ import annotations

import math
from dataclasses import field
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StrictFloat, model_validator
from pydantic.json_schema import SkipJsonSchema

from cloudarb_lib.allocate.demand.sentences import refused, without_sentences
from cloudarb_lib.allocate.demand.users import UserPlaces
from cloudarb_lib.base.records import Flag, Names, NotNegative, Positive, Text, key, record
from cloudarb_lib.base.units import HOURS_PER_WEEK

_SENTENCES = ("needs", "data", "latency", "worth", "early")


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
    """Something that has to run; what each field says stands beside it, and in docs/demand.md.

    In a file its keys are the aliases. ``amount`` is in GPUs or, for a ``batch``, in GPU-hours a
    week; ``count`` workloads alike are placed as one class; ``amounts`` are those of each period,
    where they differ.
    """

    name: Annotated[Text, key("its name", example="train-llm", alias="workload")]
    amount: Annotated[
        Positive,
        key(
            "GPUs held together (so many times), or work to be done in the week, or in any of so "
            "many weeks; a list: by period",
            example="64 H100",
            unit="GPU or GPU-hour",
            alias="needs",
        ),
    ]
    throughput: Annotated[
        dict[str, Positive],
        BeforeValidator(_rates),
        key(
            "GPU models that may serve it, with the work that one of their hours does; a GPU model "
            "stands for itself alone",
            example="{A100-80GB: 1.0, H100: 2.0}",
            without="the model of needs",
            alias="accepts",
            min_length=1,
        ),
    ] = field(hash=False)
    batch: SkipJsonSchema[Flag] = False
    count: SkipJsonSchema[Positive] = 1
    amounts: SkipJsonSchema[tuple[NotNegative, ...]] = ()
    deadline_weeks: SkipJsonSchema[Annotated[StrictFloat, Field(gt=0)]] = math.inf
    hours_a_week: Annotated[
        Positive,
        key(
            "hours in which the GPUs are held", example="168", unit="hour a week", le=HOURS_PER_WEEK
        ),
    ] = HOURS_PER_WEEK
    interruptible: Annotated[
        Flag, key("spot may serve it; without it, on-demand and commitments only", example="yes")
    ] = False
    together: Annotated[
        Literal["", "anywhere", "provider", "region", "zone"],
        BeforeValidator(_level),
        key(
            "its machines need each other: each job stands in one zone, region or provider (yes: a "
            "region), and all wait when one is taken away; anywhere: they wait, but may be split. "
            "Where price lists tell regions alone, zone is region",
            example="region",
        ),
    ] = ""
    checkpoint_minutes: Annotated[
        NotNegative,
        key(
            "what writing a checkpoint takes; they are written at the interval of Young and Daly",
            example="6",
            unit="minute",
        ),
    ] = 0.0
    restart_minutes: Annotated[
        NotNegative,
        key("what starting again after an interruption takes", example="10", unit="minute"),
    ] = 0.0
    max_interruptions_a_week: Annotated[
        NotNegative | None,
        key(
            "how often its machines may be taken away, all counted, in expectation; 0: no spot",
            example="2",
            unit="interruption a week",
        ),
    ] = None
    min_on_demand_share: Annotated[
        NotNegative,
        key(
            "so much of its need stands on demand or committed, whatever becomes of spot",
            example="0.5",
            unit="share",
            le=1,
        ),
    ] = 0.0
    survives_loss_of: Annotated[
        Literal["", "zone", "region", "provider"],
        key(
            "enough machines are left for all of it when any one such place is lost",
            example="region",
        ),
    ] = ""
    regions: Annotated[
        Names,
        key(
            "shell patterns on region or provider/region: where it may run",
            example='[us-*, "europe-*"]',
            without="anywhere",
            alias="in",
            min_length=1,
        ),
    ] = ("*",)
    not_in: Annotated[
        Names, key("as in: where it must not run, such as a whole provider", example="[aws/*]")
    ] = ()
    providers: Annotated[
        Names, key("shell patterns on provider", example="[gcp, azure]", min_length=1)
    ] = ("*",)
    options: Annotated[
        tuple[Literal["on_demand", "spot", "reserved"], ...],
        key("purchase options that may serve it", example="[on_demand, reserved]", min_length=1),
    ] = ("on_demand", "spot", "reserved")
    max_usd_per_gpu_hour: Annotated[
        Positive | None,
        key(
            "an offer that asks more today, discounts taken off, is not used",
            example="2.50",
            unit="USD per GPU-hour",
        ),
    ] = None
    gpu_memory_gib: Annotated[NotNegative, key("least of each GPU", example="80", unit="GiB")] = 0.0
    memory_gib: Annotated[NotNegative, key("least of each machine", example="512", unit="GiB")] = (
        0.0
    )
    gpus_per_instance: Annotated[
        NotNegative, key("least of each machine", example="8", unit="GPU")
    ] = 0.0
    data_gb: Annotated[
        NotNegative,
        key(
            "where its data lies, read once or every week: work elsewhere pays egress, by provider "
            "and tier",
            example="500 GB a week in gcp/us-east4",
            unit="GB",
            alias="data",
        ),
    ] = 0.0
    data_weekly: SkipJsonSchema[Flag] = False
    data_in: SkipJsonSchema[str] = ""
    latency: Annotated[
        UserPlaces,
        key(
            "longest round trip to a region, where its users are; a list: to each of these, or, "
            "with shares of the users, near enough to each share of them for its part of the need; "
            "estimated from the great circle, unless round_trips tells it",
            example="[40 ms to gcp/europe-west3 for 60 %, 80 ms to aws/us-east-1 for 40 %]",
            unit="ms",
        ),
    ] = ()
    residency: Annotated[
        Names, key("countries, or EU, that it and its data must not leave", example="[EU, CH]")
    ] = ()
    state_gb: Annotated[
        NotNegative, key("copied to each new place when it moves", example="500", unit="GB")
    ] = 0.0
    start_minutes: Annotated[
        NotNegative,
        key(
            "paid for, without work, when a machine is taken up between periods",
            example="30",
            unit="minute",
        ),
    ] = 0.0
    stop_minutes: Annotated[
        NotNegative,
        key(
            "paid for, without work, when a machine is given up between periods",
            example="10",
            unit="minute",
        ),
    ] = 0.0
    worth_usd_per_gpu_hour: Annotated[
        Positive | None,
        key(
            "what an hour of its work is worth: dearer work is left undone; without it, all of it "
            "must run",
            example="2.50 USD per GPU-hour",
            unit="USD per GPU-hour",
            alias="worth",
        ),
    ] = None
    early_usd_per_gpu_hour_week: Annotated[
        NotNegative,
        key(
            "what it is worth to have work with a deadline done a week earlier; decides between "
            "plans, and is no part of their cost",
            example="0.05 USD per GPU-hour and week",
            unit="USD per GPU-hour and week",
            alias="early",
        ),
    ] = 0.0
    team: Annotated[Text | None, key("whose it is, one of teams", example="research")] = None

    @model_validator(mode="before")
    @classmethod
    def _read_sentences(cls, given: Any) -> Any:
        if not isinstance(given, dict):  # made from Python, in fields
            return given
        fields = without_sentences(given, _SENTENCES)
        _refuse_contradictions(given, fields)
        return fields


def _refuse_contradictions(given: dict[str, Any], fields: dict[str, Any]) -> None:
    """Raise where two keys of a file say what cannot be meant together."""
    if "early" in given and "deadline_weeks" not in fields:
        what = "early: without a deadline there is no being early."
        raise refused(("early",), what, "Write needs as '9000 GPU-hours in 4 weeks'.")
    for key_of_need in ("survives_loss_of", "min_on_demand_share"):
        if given.get(key_of_need) and "worth" in given:
            what = f"{key_of_need} asks for work that worth lets be left undone."
            raise refused((key_of_need,), what, "Keep one of the two.")
    if "worth" in given and any("percent" in users for users in fields.get("latency", ())):
        what = "latency asks for shares of work that worth lets be left undone."
        raise refused(("latency",), what, "Keep one of the two.")
    if "accepts" not in given or "needs" not in given:
        return
    named = without_sentences({"needs": given["needs"]}, ["needs"]).get("accepts")
    rates = _rates(given["accepts"])
    if named is not None and isinstance(rates, dict) and named not in rates:
        what = f"accepts leaves out {named}, of which needs tells the number."
        raise refused(("accepts",), what, f"Add {named}: 1.0.")
