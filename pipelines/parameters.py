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
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from cloudarb_lib.errors import ParameterError
from cloudarb_lib.schema import nearest

SET_BY_RUN = ("run_dir", "store_dir")
"""Parameters that the runner fills in; nobody else may."""
_TYPES = {"str": str, "int": int, "float": float, "bool": bool, "list": list}


class Parameter(NamedTuple):
    """One line of a parameters cell: ``name: kind = default``."""

    name: str
    kind: str
    default: object


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
        raise ParameterError(f"{notebook.name} is no notebook that can be read: {cause!r}.") from cause
    if len(tagged) != 1:
        what = f"{notebook.name} has {len(tagged)} cells tagged 'parameters', not one."
        raise ParameterError(what, "Tag one cell, in JupyterLab under Property Inspector.")
    found: dict[str, Parameter] = {}
    for line in lines:
        parameter = _parse(line)
        if parameter is None or parameter.name in found:
            what = f"{notebook.name}, parameters cell, line {line.lineno}: {ast.unparse(line)!r} is"
            way_out = f"Write name: kind = literal, kind one of {', '.join(_TYPES)}."
            raise ParameterError(f"{what} not one annotated literal, or repeats a name.", way_out)
        found[parameter.name] = parameter
    return found


def _parse(line: ast.stmt) -> Parameter | None:
    if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.value:
        kind = ast.unparse(line.annotation)
        with suppress(ValueError):
            return Parameter(line.target.id, kind, ast.literal_eval(line.value)) if kind in _TYPES else None
    return None


def check(values: Mapping[str, object], known: Mapping[str, Parameter], *, where: str) -> dict[str, object]:
    """Return ``values`` as the types that ``known`` declares; ParameterError names the first fault.

    An int is accepted for a float and converted, a date for a str (as ISO 8601); a bool is no
    int, and the entries of a list are of the type of the default's.
    """
    for name in values:
        if name not in known:
            what = f"{where}: {name!r} is unknown{nearest(name, list(known))}."
            raise ParameterError(what, f"Known are {', '.join(known)}.")
    return {name: _cast(value, known[name], where) for name, value in values.items()}


def _cast(value: object, parameter: Parameter, where: str) -> object:
    name, kind, default = parameter
    if kind == "list" and isinstance(value, list):
        example = default[0] if isinstance(default, list) and default else ""
        entry = Parameter(f"an entry of {name}", type(example).__name__, example)
        return [_cast(one, entry, where) for one in value]
    if isinstance(value, datetime.date) and kind == "str":
        return value.isoformat()
    if kind == "float" and type(value) is int:
        value = float(value)
    if type(value) is not _TYPES[kind] or (isinstance(value, float) and not math.isfinite(value)):
        what = f"{where}: {name} is {value!r} ({type(value).__name__}), not a proper {kind}."
        raise ParameterError(what, f"For example {default!r}.")
    return value
