"""Configurations: a YAML file, read safely and checked whole before anything runs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from cloudarb_lib.documents import read_yaml
from cloudarb_lib.errors import ParameterError
from cloudarb_lib.handover import PROJECT
from cloudarb_lib.units import parse_as_of, parse_freq
from pipelines.parameters import SET_BY_RUN, Parameter, check, declared

NOTEBOOKS = PROJECT / "notebooks"
STEPS = {
    "01_explore_prices": "Prices",
    "02_train_ensemble": "Forecast",
    "03_allocate": "Allocation",
    "04_risk_and_stress": "Risk",
    "05_summary": "Summary",
}
"""The notebooks of a run, in order, and what a reader calls them. Snakefile has their graph."""

_OWN = {
    "name": Parameter("name", "str", "weekly"),
    "title": Parameter("title", "str", "Weekly plan"),
    "timeout_s": Parameter("timeout_s", "int", 300),
    "store_dir": Parameter("store_dir", "str", "data/store"),
}
_AT_LEAST = {
    "timeout_s": 1, "horizon_steps": 1, "lookback_steps": 1, "n_paths": 1, "risk_paths": 1,
    "stale_after_days": 0, "budget_usd": 1,
}  # fmt: skip


@dataclass(frozen=True)
class RunConfig:
    """A checked configuration: the run's own keys, the parameters, and those of each notebook."""

    own: dict[str, object]
    given: dict[str, object]
    parameters: dict[str, dict[str, object]]


def load_config(path: Path, notebooks: Path = NOTEBOOKS) -> RunConfig:
    """Read and check a configuration against the notebooks that it will drive.

    Every key is the run's own (name, title, timeout_s, store_dir) or a parameter that some notebook
    declares; each notebook is given those it declares. ParameterError names file, line and key.
    """
    values, line = read_yaml(path, "pipelines/*.yaml")
    takes = {step: declared(notebooks / f"{step}.ipynb") for step in STEPS}
    known = {name: p for step in takes.values() for name, p in step.items() if name not in SET_BY_RUN}
    for key in ("name", "title", "timeout_s", "as_of"):
        if key not in values:
            raise ParameterError(f"{path.name} lacks {key!r}.", "Add it; see pipelines/weekly.yaml.")
    checked: dict[str, object] = {}
    for key, value in values.items():
        where = line(key)
        checked |= check({key: value}, {**_OWN, **known}, where=where)
        _check_meaning(key, checked[key], where)
    given = {key: value for key, value in checked.items() if key in known}
    parameters = {step: {k: v for k, v in given.items() if k in takes[step]} for step in STEPS}
    return RunConfig({k: v for k, v in checked.items() if k in _OWN}, given, parameters)


def _check_meaning(key: str, value: object, where: str) -> None:
    """Refuse early what a notebook would refuse late; only what is cheap to see from here."""
    try:
        if key == "as_of":
            parse_as_of(value)
        elif key == "freq":
            parse_freq(str(value))
        elif key == "demand" and not (PROJECT / str(value)).is_file():
            raise ParameterError(f"no demand file {value!r}.", "Give its path from the project's root.")
        elif key == "demand":
            from cloudarb_lib.allocate.demand import load_workloads  # slow to import, so only now

            load_workloads(PROJECT / str(value))
        elif key in _AT_LEAST and not float(str(value)) >= _AT_LEAST[key]:
            raise ParameterError(f"{key} is {value}.", f"It must be {_AT_LEAST[key]} or more.")
        elif key == "providers" and not value:
            raise ParameterError("providers is empty.", "Name at least one.")
        elif key == "name" and not re.fullmatch(r"[a-z0-9_]{1,40}", str(value)):
            raise ParameterError(f"name {value!r} cannot name a folder.", "Use a-z, 0-9 and _ only.")
    except ParameterError as fault:
        raise ParameterError(f"{where}: {fault.what}", fault.way_out) from fault
