"""What a notebook takes: its parameters cell read as data, and values checked against it.

papermill itself only warns on a misspelt parameter and goes on, and turns a float given as 20
into an int; so names and types are compared here, before a kernel starts.
"""

from __future__ import annotations

import ast
import datetime
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cloudarb_lib.errors import ParameterError
from cloudarb_lib.schema import nearest

SET_BY_RUN = ("run_dir", "store_dir")
"""Parameters that the runner fills in; nobody else may."""

_TYPES = {"str": str, "int": int, "float": float, "bool": bool, "list": list}


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell: ``name: kind = default``."""

    name: str
    kind: str
    default: object


def declared(notebook: Path) -> dict[str, Parameter]:
    """Return what the cell tagged ``parameters`` of ``notebook`` declares, by name.

    ParameterError where the file is no notebook, has not exactly one such cell, or a line of it
    is anything but one annotated literal: papermill reads these lines with a pattern.
    """
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    except FileNotFoundError as cause:
        raise ParameterError(f"no notebook {notebook.name}.", "Is the checkout whole?") from cause
    except (ValueError, KeyError, TypeError) as cause:
        raise ParameterError(f"{notebook.name} is not a notebook: {cause}.") from cause
    tagged = [c for c in cells if "parameters" in c.get("metadata", {}).get("tags", [])]
    if len(tagged) != 1:
        raise ParameterError(
            f"{notebook.name} has {len(tagged)} cells tagged 'parameters', not one.",
            "Tag one cell, in JupyterLab under Property Inspector.",
        )
    try:
        lines = ast.parse("".join(tagged[0]["source"])).body
    except SyntaxError as cause:
        raise ParameterError(f"{notebook.name}, parameters cell: {cause}.") from cause
    found = {}
    for line in lines:
        parameter = _parse(line)
        if parameter is None or parameter.name in found:
            raise ParameterError(
                f"{notebook.name}, parameters cell, line {line.lineno}: {ast.unparse(line)!r} is "
                "not one annotated literal, or repeats a name.",
                f"Write name: kind = literal, kind one of {', '.join(_TYPES)}.",
            )
        found[parameter.name] = parameter
    return found


def _parse(line: ast.stmt) -> Parameter | None:
    if not (isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.value):
        return None
    kind = ast.unparse(line.annotation).partition("[")[0]
    try:
        default = ast.literal_eval(line.value)
    except ValueError:
        return None
    return Parameter(line.target.id, kind, default) if kind in _TYPES else None


def check(values: Mapping[str, object], known: Mapping[str, Parameter], *, where: str) -> dict[str, object]:
    """Return ``values`` as the types that ``known`` declares; ParameterError names the first fault.

    An int is accepted for a float and converted, a date for a str (as ISO 8601); a bool is no
    int, and the entries of a list are of the type of the default's.
    """
    checked = {}
    for name, value in values.items():
        if name in SET_BY_RUN:
            raise ParameterError(f"{where}: {name!r} is set by the run itself.", "Leave it out.")
        if name not in known:
            raise ParameterError(
                f"{where}: unknown parameter {name!r}{nearest(name, list(known))}.",
                f"Known are {', '.join(k for k in known if k not in SET_BY_RUN)}.",
            )
        checked[name] = _cast(value, known[name], where)
    return checked


def _cast(value: object, parameter: Parameter, where: str) -> object:
    if parameter.kind == "list" and isinstance(value, list):
        example = parameter.default[0] if parameter.default else ""  # type: ignore[index]
        entry = Parameter(f"{parameter.name}, one entry", type(example).__name__, example)
        return [_cast(one, entry, where) for one in value]
    if isinstance(value, datetime.date) and parameter.kind == "str":
        return value.isoformat()
    if parameter.kind == "float" and type(value) is int:
        value = float(value)
    if type(value) is not _TYPES[parameter.kind]:
        raise ParameterError(
            f"{where}: {parameter.name} is {value!r} ({type(value).__name__}), not {parameter.kind}.",
            f"For example {parameter.default!r}.",
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise ParameterError(f"{where}: {parameter.name} is {value}, not a finite number.")
    return value
