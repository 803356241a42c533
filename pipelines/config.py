"""Configurations and what notebooks take: YAML and parameters cells, checked whole before anything runs.

papermill itself only warns on a misspelt parameter and goes on, and turns a float given as 20 into an
int; so names and types are compared here, before a kernel starts.
"""

from __future__ import annotations

import ast
import datetime
import json
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field, StrictInt, StrictStr

from cloudarb_lib.base import locations
from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.records import Flag, Number, read, record
from cloudarb_lib.base.units import parse_as_of, parse_freq

STEPS = {
    "01_explore_prices": "Prices",
    "02_train_ensemble": "Forecast",
    "03_allocate": "Allocation",
    "04_risk_and_stress": "Risk",
    "05_summary": "Summary",
}
"""The notebooks of a run, in order, and what a reader calls them. Snakefile has their graph."""
SET_BY_RUN = ("run_dir", "store_dir")
"""Parameters that the runner fills in; nobody else may."""


class Parameter(NamedTuple):
    """One line of a parameters cell: ``name: kind = default``."""

    kind: str
    default: object


_OWN = dict.fromkeys(("name", "title", "store_dir"), Parameter("str", "")) | {
    "timeout_s": Parameter("int", 1)
}
_NEEDED = ("name", "title", "timeout_s", "as_of")


def _dated(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime.date) else value


_KINDS: dict[str, Any] = {
    "str": Annotated[StrictStr, BeforeValidator(_dated)],
    "int": StrictInt,
    "float": Number,
    "bool": Flag,
    "list": list,
}


def _kept(parse: Callable[[str], object]) -> AfterValidator:
    """Return a check that ``parse`` can read a value, which is then kept as it was written."""
    return AfterValidator(lambda value: parse(value) and value)


def _demand(value: str) -> str:
    """Refuse a demand file that the notebooks would refuse."""
    if not locations.find(value).is_file():
        raise ParameterError(f"no demand file {value!r}.", "Give its path from the project's root.")
    from cloudarb_lib.allocate.demand import load_workloads  # slow to import, so only now

    load_workloads(locations.find(value))
    return value


_MEANING: dict[str, Any] = {
    "name": Field(pattern="^[a-z0-9_]{1,40}$"),  # of a folder
    "as_of": _kept(parse_as_of),
    "freq": _kept(parse_freq),
    "demand": AfterValidator(_demand),
    "providers": Field(min_length=1),
    "budget_usd": Field(ge=1),
    "stale_after_days": Field(ge=0),
    **dict.fromkeys(
        ("timeout_s", "horizon_steps", "lookback_steps", "n_paths", "risk_paths"), Field(ge=1)
    ),
}
"""What a configuration is told early, where a notebook would only notice late."""


@dataclass(frozen=True)
class RunConfig:
    """A checked configuration: the run's own keys, the parameters, and those of each notebook."""

    own: dict[str, Any]
    given: dict[str, Any]
    parameters: dict[str, dict[str, Any]]


def load_config(path: Path, notebooks: Path | None = None) -> RunConfig:
    """Read and check a configuration against the notebooks that it will drive.

    Every key is the run's own (name, title, timeout_s, store_dir) or a parameter that some notebook
    declares; each notebook is given those it declares. ParameterError names file, line and key.
    """
    notebooks = notebooks or locations.notebooks()
    takes = {step: declared(notebooks / f"{step}.ipynb") for step in STEPS}
    known = {
        name: p for step in takes.values() for name, p in step.items() if name not in SET_BY_RUN
    }
    told = vars(read(_record({**_OWN, **known}, _NEEDED), path, "pipelines/*.yaml"))
    given = {name: told[name] for name in known if told[name] is not None}
    own = {name: told[name] for name in _OWN if told[name] is not None}
    parameters = {step: {k: v for k, v in given.items() if k in takes[step]} for step in STEPS}
    return RunConfig(own, given, parameters)


def declared(notebook: Path) -> dict[str, Parameter]:
    """Return what the cell tagged ``parameters`` of ``notebook`` declares, by name.

    ParameterError where there is not exactly one such cell, or a line of it is anything but one
    annotated literal: papermill reads these lines with a pattern.
    """
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        tagged = [c for c in cells if "parameters" in c.get("metadata", {}).get("tags", [])]
        lines = ast.parse("".join("".join(c["source"]) for c in tagged)).body
    except FileNotFoundError as cause:
        raise ParameterError(f"no notebook {notebook.name}.", "Is the checkout whole?") from cause
    except (ValueError, KeyError, TypeError, SyntaxError) as cause:
        raise ParameterError(
            f"{notebook.name} is no notebook that can be read: {cause!r}."
        ) from cause
    if len(tagged) != 1:
        what = f"{notebook.name} has {len(tagged)} cells tagged 'parameters', not one."
        raise ParameterError(what, "Tag one cell, in JupyterLab under Property Inspector.")
    found: dict[str, Parameter] = {}
    for line in lines:
        match line:
            case ast.AnnAssign(ast.Name(name), ast.Name(kind), ast.expr() as value) if (
                kind in _KINDS and name not in found
            ):
                with suppress(ValueError):
                    found[name] = Parameter(kind, ast.literal_eval(value))
                    continue
        what = f"{notebook.name}, parameters cell, line {line.lineno}: {ast.unparse(line)!r} is"
        way_out = f"Write name: kind = literal, kind one of {', '.join(_KINDS)}."
        raise ParameterError(f"{what} not one annotated literal, or repeats a name.", way_out)
    return found


def check(values: Mapping[str, Any], known: Mapping[str, Parameter]) -> dict[str, Any]:
    """Return ``values`` as the types that ``known`` declares; ParameterError names the first fault.

    An int is accepted for a float and converted, a date for a str (as ISO 8601); a bool is no
    int, and the entries of a list are of the type of the default's.
    """
    told = _record(known)(**values)
    return {name: getattr(told, name) for name in values}


def _record(known: Mapping[str, Parameter], needed: Collection[str] = ()) -> Any:
    """Return the record type that holds these parameters, None where one is not given."""
    kinds = {}
    for name in [*needed, *(name for name in known if name not in needed)]:
        kind, default = known[name]
        entry = type(default[0]).__name__ if isinstance(default, list) and default else "str"
        kinds[name] = list[_KINDS[entry]] if kind == "list" else _KINDS[kind]
        kinds[name] = Annotated[kinds[name], _MEANING[name]] if name in _MEANING else kinds[name]
    optional = dict.fromkeys(name for name in kinds if name not in needed)
    return record(type("Parameters", (), {"__annotations__": kinds, **optional}))
