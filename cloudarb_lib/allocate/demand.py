"""What has to run: the demand file, read with the line of every mistake."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from cloudarb_lib.errors import ParameterError
from cloudarb_lib.schema import PURCHASE_OPTIONS, nearest
from cloudarb_lib.units import HOURS_PER_WEEK


@dataclass(frozen=True)
class Workload:
    """Something that has to run.

    ``amount`` is GPUs held at the same time or, for a ``batch``, GPU-hours of work a week;
    ``throughput`` maps each acceptable GPU model to the work that one of its hours does.
    ``together`` means that all machines wait when one is taken away. ``regions``, ``not_in``
    and ``providers`` are shell patterns on region, provider/region and provider. ``count``
    workloads alike are placed as one class. ``worth_usd_per_gpu_hour`` is what an hour of work
    is worth: dearer work is left undone; None means that all of it must run.
    """

    name: str
    amount: float
    throughput: dict[str, float] = field(hash=False)
    batch: bool = False
    count: int = 1
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
    worth_usd_per_gpu_hour: float | None = None

    def __post_init__(self) -> None:
        positive = ("amount", "hours_a_week", "count")
        natural = (
            "checkpoint_minutes", "restart_minutes", "gpu_memory_gib", "memory_gib",
            "gpus_per_instance",
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
    batch = re.search("gpu.hours", str(value), re.IGNORECASE)
    if batch:
        read = _sentence(r"NUMBER GPU.hours a week", "4000 GPU-hours a week")
        return {"amount": _float(read(value)[0]), "batch": True}
    count, amount, model = _sentence(r"(?:([0-9]+)\s*x\s*)?NUMBER ([\w.-]+)", "64 H100")(value)
    return {"amount": _float(amount), "throughput": {model: 1.0}, "count": int(count or 1)}


def _amount_of(name: str, pattern: str, example: str) -> Callable[[object], dict[str, object]]:
    read = _sentence(pattern, example)
    return lambda value: {name: _float(read(value)[0])}


def _plain(name: str, read: Callable) -> Callable[[object], dict[str, object]]:
    return lambda value: {name: read(value)}


KEYS: dict[str, Callable[[object], dict[str, object]]] = {
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
    "worth": _amount_of("worth_usd_per_gpu_hour", r"NUMBER USD per GPU.hour", "2.50 USD per GPU-hour"),
}
"""Keys of an entry beside ``workload``; each turns its value into fields of a Workload."""


def load_workloads(path: str | Path) -> list[Workload]:
    """Return the workloads of a demand file (YAML: a list under ``demand``), in its order.

    Raises ParameterError with file and line for a key that is not known (naming the nearest),
    a value that does not read, a missing ``needs``, a repeated name, and an empty demand.
    """
    import yaml

    try:
        text = Path(path).read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except FileNotFoundError as cause:
        raise ParameterError(f"no demand file {path}.") from cause
    except OSError as cause:
        raise ParameterError(f"demand file {path} cannot be read: {cause.strerror}.") from cause
    except (yaml.YAMLError, UnicodeDecodeError) as cause:
        mark = getattr(cause, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        raise ParameterError(f"{path}{where}: not YAML ({cause}).") from cause

    def fail(node: object, what: str, way_out: str = "") -> ParameterError:
        return ParameterError(f"{path} line {node.start_mark.line + 1}: {what}", way_out)  # type: ignore[attr-defined]

    if not isinstance(root, yaml.MappingNode):
        raise ParameterError(f"{path}: no demand.", "Begin with 'demand:' and a list of entries.")
    entries = None
    for key, value in root.value:
        if key.value != "demand":
            raise fail(key, f"key {key.value!r} is not known{nearest(key.value, ['demand'])}.")
        entries = value
    if not isinstance(entries, yaml.SequenceNode) or not entries.value:
        raise fail(root, "the demand is empty.", "List at least one '- workload: name'.")
    loader = yaml.SafeLoader("")
    workloads: list[Workload] = []
    for entry in entries.value:
        if not isinstance(entry, yaml.MappingNode):
            raise fail(entry, "an entry is not a mapping.", "Begin it with '- workload: name'.")
        given: dict[str, object] = {}
        seen: set[str] = set()
        for key, value in entry.value:
            name = str(key.value)
            if name in seen:
                raise fail(key, f"key {name!r} repeats.")
            seen.add(name)
            if name != "workload" and name not in KEYS:
                known = ["workload", *KEYS]
                raise fail(
                    key, f"key {name!r} is not known{nearest(name, known)}.",
                    f"Use {', '.join(known)}.",
                )  # fmt: skip
            try:
                content = loader.construct_object(value, deep=True)
            except (yaml.YAMLError, ValueError) as cause:
                raise fail(value, f"{name}: {cause}.") from cause
            if name == "workload":
                if not isinstance(content, str) or not content.strip():
                    raise fail(value, "the workload's name is empty or no text.")
                given["name"] = content
                continue
            try:
                # `accepts` may stand before or after `needs`, which names a model as a default
                new = KEYS[name](content)
                given = {**new, **given} if name == "needs" else {**given, **new}
            except ValueError as cause:
                raise fail(value, f"{name}: {cause}.") from cause
        for needed, shown in (("name", "workload"), ("amount", "needs")):
            if needed not in given:
                raise fail(entry, f"the entry lacks {shown!r}.")
        if "throughput" not in given:
            raise fail(entry, "a batch lacks 'accepts'.", "accepts: {A100-80GB: 1.0, H100: 2.0}")
        try:
            workload = Workload(**given)  # type: ignore[arg-type]
        except ParameterError as cause:
            raise fail(entry, cause.what, cause.way_out) from cause
        if workload.name in {w.name for w in workloads}:
            raise fail(entry, f"workload {workload.name!r} repeats.")
        workloads.append(workload)
    return workloads


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
