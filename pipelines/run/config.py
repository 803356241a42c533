"""Configurations and what notebooks take, checked whole before anything runs.

papermill itself only warns on a misspelt parameter and goes on, and turns a float given as 20 into
an int; so names and types are compared here, before a kernel starts.
"""

from __future__ import annotations

import ast
import datetime
import json
import types
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, StrictInt, StrictStr

from cloudarb_lib.base import locations
from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.records import Flag, Number, checked, record
from cloudarb_lib.base.units import parse_as_of, parse_freq
from cloudarb_lib.base.yaml_files import YamlFile, read_yaml
from pipelines.run.stages import STAGES, every_stage, stages_named

SET_BY_RUN = ("run_dir", "store_dir")
"""Parameters that the runner fills in; nobody else may."""
LATEST = "latest"
"""As ``as_of``: the day of the newest observation on record."""


class Parameter(NamedTuple):
    """One line of a parameters cell: ``name: kind = default``."""

    kind: str
    default: object


_RUN_SETTINGS = {
    "name": Parameter("str", ""),
    "title": Parameter("str", ""),
    "store_dir": Parameter("str", ""),
    "timeout_s": Parameter("int", 1),
    "notebooks": Parameter("list", []),
}
"""Keys of a configuration that are about the run itself."""
_NEEDED = ("name", "title", "timeout_s", "as_of")


def _iso_date(value: object) -> object:
    """Return a date that YAML read as one in the form of a text."""
    return value.isoformat() if isinstance(value, datetime.date) else value


def _for_every_source(value: object) -> object:
    """Return a number that holds for every source in the form of figures by source."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return {"*": value} if is_number else value


_TYPES: dict[str, Any] = {
    "str": Annotated[StrictStr, BeforeValidator(_iso_date)],
    "int": StrictInt,
    "float": Number,
    "bool": Flag,
    "list": list,
    "dict": Annotated[dict[StrictStr, Number], BeforeValidator(_for_every_source)],
}
"""The type, with its checks, of each kind that a parameters cell may name."""


def _readable_by(parse: Callable[[Any], object]) -> AfterValidator:
    """Return a check that ``parse`` can read a value, which is then kept as it was written."""

    def check(value: object) -> object:
        parse(value)
        return value

    return AfterValidator(check)


def _check_as_of(value: object) -> None:
    """Refuse what is neither ``LATEST`` nor a time."""
    if value != LATEST:
        parse_as_of(value)


def _load_demand(name: str) -> None:
    """Refuse a demand file that the notebooks would refuse."""
    path = locations.find(name)
    if not path.is_file():
        raise ParameterError(f"no demand file {name!r}.", "Give its path from the project's root.")
    from cloudarb_lib.allocate.demand import load_demand  # slow to import, so only now

    load_demand(path)


def _check_stale(days: dict[str, float]) -> None:
    """Refuse ages that the market would refuse."""
    from cloudarb_lib.market.freshness import Freshness  # slow to import, so only now

    Freshness.of(days)


def _check_expired(days: dict[str, float]) -> None:
    """Refuse ages that the market would refuse."""
    from cloudarb_lib.market.freshness import Freshness  # slow to import, so only now

    Freshness.of(0.0, days)


_AT_LEAST_ONE = Field(ge=1)
_CHECKS: dict[str, Any] = {
    "name": Field(pattern="^[a-z0-9_]{1,40}$"),  # of a folder
    "as_of": _readable_by(_check_as_of),
    "freq": _readable_by(parse_freq),
    "demand": _readable_by(_load_demand),
    "providers": Field(min_length=1),
    "budget_usd": _AT_LEAST_ONE,
    "stale_after_days": _readable_by(_check_stale),
    "expired_after_days": _readable_by(_check_expired),
    "timeout_s": _AT_LEAST_ONE,
    "horizon_steps": _AT_LEAST_ONE,
    "lookback_steps": _AT_LEAST_ONE,
    "n_paths": _AT_LEAST_ONE,
}
"""What a configuration is told early, where a notebook would only notice late."""


@dataclass(frozen=True)
class RunConfig:
    """A checked configuration.

    Parameters
    ----------
    settings : dict
        The run's own keys: name, title, timeout_s, store_dir and notebooks where given.
    given : dict
        The parameters that the file gives, for whichever notebook.
    parameters : dict of dict
        Those that each stage's notebook declares, by stage.
    """

    settings: dict[str, Any]
    given: dict[str, Any]
    parameters: dict[str, dict[str, Any]]

    def with_as_of(self, day: str) -> RunConfig:
        """Return the configuration as of a day, which every notebook that asks for one is given."""
        dated = {"as_of": day}
        return replace(
            self,
            given=self.given | dated,
            parameters={
                stage: values | dated if "as_of" in values else values
                for stage, values in self.parameters.items()
            },
        )


def load_config(
    path: Path,
    notebooks: Path | None = None,
    *,
    changes: Mapping[str, object] | None = None,
    varied: Mapping[str, object] | None = None,
) -> RunConfig:
    """Read and check a configuration against the notebooks that it will drive.

    Every key is the run's own (name, title, timeout_s, store_dir, notebooks) or a parameter that
    some notebook of the run declares; each notebook is given those it declares. Without
    ``notebooks`` all of ``STAGES`` run.

    Parameters
    ----------
    path : Path
        A YAML file.
    notebooks : Path, optional
        Folder of the notebooks; those of the project without.
    changes : mapping of str to object, optional
        Values in place of the file's, as ``read_changes`` returns them.
    varied : mapping of str to object, optional
        Such values of ``--over``: those of one run of a set.

    Raises
    ------
    ParameterError
        Naming file, line and key; of a change ``--set`` or ``--over`` and the key.
    """
    folder = notebooks or locations.notebooks()
    file = read_yaml(path, "pipelines/*.yaml").with_values(changes or {}, "--set")
    file = file.with_values(varied or {}, "--over")
    names = _named_notebooks(file)
    declared = {stage: declared_parameters(folder / f"{stage}.ipynb") for stage in names}
    may_be_given = {
        name: parameter
        for of_notebook in declared.values()
        for name, parameter in of_notebook.items()
        if name not in SET_BY_RUN
    }
    kind = _record_type({**_RUN_SETTINGS, **may_be_given}, _NEEDED)
    values = vars(checked(kind, file))
    given = {name: values[name] for name in may_be_given if values[name] is not None}
    return RunConfig(
        settings={name: values[name] for name in _RUN_SETTINGS if values[name] is not None},
        given=given,
        parameters={
            stage: {name: value for name, value in given.items() if name in of_notebook}
            for stage, of_notebook in declared.items()
        },
    )


def _named_notebooks(file: YamlFile) -> list[str]:
    """Return the notebooks that a configuration runs, in order.

    Raises
    ------
    ParameterError
        Where it names none, or one that is not registered; where one reads tables of another that
        it leaves out.
    """
    asked = file.values.get("notebooks")
    if asked is None:
        return list(STAGES)
    registered = list(every_stage())
    names = asked if isinstance(asked, list) else []
    unknown = [name for name in names if name not in registered]
    if not names or unknown:
        wrong = repr(unknown[0]) if unknown else repr(asked)
        what = f"{file.where('notebooks')}: notebooks has {wrong}, which is no notebook of a run."
        raise ParameterError(what, f"Give a list of some of {', '.join(registered)}.")
    for name, stage in stages_named(names).items():
        lacking = [earlier for earlier in stage.after if earlier not in names]
        if lacking:
            what = f"{file.where('notebooks')}: {name} reads what {lacking[0]} leaves."
            raise ParameterError(what, "Name that notebook too.")
    return list(stages_named(names))


_EXAMPLE = {"--set": "budget_usd=1500000", "--over": "'budget_usd=[1e6, 2e6]'"}


def read_changes(words: Sequence[str], option: str = "--set") -> dict[str, object]:
    """Return values of a configuration as people set them on a command line: ``key=value``.

    Parameters
    ----------
    words : sequence of str
        Each a key, =, and a value as YAML has it: ``budget_usd=1500000``,
        ``providers=[gcp, aws]``.
    option : str
        What gave them, for messages.

    Raises
    ------
    ParameterError
        Where a word is no such thing, a key repeats, or a value is missing or not YAML.
    """
    changes: dict[str, object] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not (key and equals) or key in changes:
            what = f"{option} {word!r} is not key=value, or sets {key!r} again."
            raise ParameterError(what, f"Write for instance {option} {_EXAMPLE[option]}.")
        if not text.strip():
            what = f"{option} {word!r} gives {key} no value."
            raise ParameterError(what, f"Write one behind the =, as in {_EXAMPLE[option]}.")
        try:
            changes[key] = yaml.safe_load(text)
        except yaml.YAMLError as cause:
            what = f"{option} {key}: {text!r} is no value as YAML has it."
            raise ParameterError(what, "Quote a text, as in title='A: B'.") from cause
        except ValueError as cause:  # what looks like a day to YAML
            what = f"{option} {key}: {text!r} is no day: {cause}."
            raise ParameterError(what, "Write it as 2026-04-29.") from cause
    return changes


def declared_parameters(notebook: Path) -> dict[str, Parameter]:
    """Return what the cell tagged ``parameters`` of a notebook declares, by name.

    Raises
    ------
    ParameterError
        Where there is not exactly one such cell, or a line of it is anything but one annotated
        literal: papermill reads these lines with a pattern.
    """
    found: dict[str, Parameter] = {}
    for line in _parameters_cell(notebook).body:
        declaration = _declaration(line)
        if declaration is None or declaration[0] in found:
            what = f"{notebook.name}, parameters cell, line {line.lineno}: {ast.unparse(line)!r} is"
            way_out = f"Write name: kind = literal, kind one of {', '.join(_TYPES)}."
            raise ParameterError(f"{what} not one annotated literal, or repeats a name.", way_out)
        name, parameter = declaration
        found[name] = parameter
    return found


def _parameters_cell(notebook: Path) -> ast.Module:
    """Return the parsed code of the one cell tagged ``parameters``."""
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        tagged = [c for c in cells if "parameters" in c.get("metadata", {}).get("tags", [])]
        code = ast.parse("".join("".join(c["source"]) for c in tagged))
    except FileNotFoundError as cause:
        raise ParameterError(f"no notebook {notebook.name}.", "Is the checkout whole?") from cause
    except (ValueError, KeyError, TypeError, SyntaxError) as cause:
        what = f"{notebook.name} is no notebook that can be read: {cause!r}."
        raise ParameterError(what) from cause
    if len(tagged) != 1:
        what = f"{notebook.name} has {len(tagged)} cells tagged 'parameters', not one."
        raise ParameterError(what, "Tag one cell, in JupyterLab under Property Inspector.")
    return code


def _declaration(line: ast.stmt) -> tuple[str, Parameter] | None:
    """Return name and parameter of a line ``name: kind = literal``, None for any other line."""
    match line:
        case ast.AnnAssign(ast.Name(name), ast.Name(kind), ast.expr() as value) if kind in _TYPES:
            try:
                return name, Parameter(kind, ast.literal_eval(value))
            except ValueError:
                return None
    return None


def check_parameters(
    values: Mapping[str, Any], declared: Mapping[str, Parameter]
) -> dict[str, Any]:
    """Return ``values`` as the types that a notebook declares.

    An int is accepted for a float and converted, a date for a str (as ISO 8601); a bool is no
    int, and the entries of a list are of the type of the default's.

    Raises
    ------
    ParameterError
        Naming the first fault.
    """
    held = _record_type(declared)(**values)
    return {name: getattr(held, name) for name in values}


def _record_type(parameters: Mapping[str, Parameter], needed: Collection[str] = ()) -> Any:
    """Return the record type that holds these parameters, None where one is not given."""
    optional = [name for name in parameters if name not in needed]
    fields = {name: _field_type(name, parameters[name]) for name in [*needed, *optional]}
    return record(type("Parameters", (), {"__annotations__": fields, **dict.fromkeys(optional)}))


def _field_type(name: str, parameter: Parameter) -> Any:
    """Return the type of a parameter, with what is checked of its value."""
    kind, default = parameter
    field = _TYPES[kind]
    if kind == "list":
        entry = type(default[0]).__name__ if isinstance(default, list) and default else "str"
        field = types.GenericAlias(list, (_TYPES[entry],))
    return Annotated[field, _CHECKS[name]] if name in _CHECKS else field
