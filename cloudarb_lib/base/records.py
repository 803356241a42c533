"""YAML files that people write: read safely, checked by the types of a record, each mistake told with its line."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import reprlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar, dataclass_transform

import pydantic
import yaml
from pydantic import ConfigDict, Field, StrictStr, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from yaml.constructor import ConstructorError

from cloudarb_lib.base import locations
from cloudarb_lib.base.errors import ParameterError, did_you_mean

T = TypeVar("T")

Flag = pydantic.StrictBool
Text = Annotated[StrictStr, pydantic.StringConstraints(strip_whitespace=True, min_length=1)]
Names = Annotated[
    tuple[Text, ...], pydantic.BeforeValidator(lambda v: (v,) if isinstance(v, str) else v)
]
"""A name, or a list of names."""
Number = Annotated[pydantic.StrictFloat, Field(allow_inf_nan=False)]
Positive = Annotated[Number, Field(gt=0)]
NotNegative = Annotated[Number, Field(ge=0)]
Share = Annotated[Number, Field(gt=0, le=1)]


_STRICT = ConfigDict(extra="forbid", validate_by_name=True, validate_by_alias=True)


@dataclass_transform(frozen_default=True)
def record(cls: type[T]) -> type[T]:
    """Make ``cls`` a frozen dataclass whose fields are checked by their types (pydantic's), from Python or a file.

    A field with an alias may be given by either name. ParameterError names the field, its value and what it
    should be; one of ``__post_init__`` is told likewise.
    """
    made: Any = dataclass(frozen=True, config=_STRICT)(cls)
    checked, names = made.__init__, [f.name for f in dataclasses.fields(made)]

    @functools.wraps(checked)
    def init(self: Any, *args: Any, **given: Any) -> None:
        try:
            checked(self, **dict(zip(names[: len(args)], args, strict=True)), **given)
        except ValidationError as error:
            _, fault = _first(error, made)
            raise ParameterError(f"{cls.__name__.lower()}: {fault.what}", fault.way_out) from None

    made.__init__ = init
    return made


def read(kind: type[T], path: str | Path, ours: str = "") -> T:
    """Return the record ``kind`` that a YAML file describes; keys are its fields, or their aliases.

    ``ours`` as for ``read_yaml``. ParameterError with file and line for a key that is not known (naming the
    nearest), one that is missing, a value of the wrong type or size, and whatever the record itself refuses.
    """
    values, where = read_yaml(path, ours)
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        at, fault = _first(error, kind)
        raise ParameterError(f"{where(*at)}: {fault.what}", fault.way_out) from fault


_SAID = {
    "bool_type": "Write yes or no.",
    "float_type": "Write a number.",
    "string_type": "Write a text.",
    "string_too_short": "Write a text.",
    "too_short": "Write one at least.",
    "list_type": "Write a list, each entry after '- '.",
    "tuple_type": "Write a list, each entry after '- '.",
    "dataclass_type": "Write 'key: value' lines.",
    "missing": "Add it.",
}
"""What to do about a mistake, by pydantic's name of it; for others pydantic's own words."""


def _first(error: ValidationError, kind: type) -> tuple[tuple[int | str, ...], ParameterError]:
    """Return where the first mistake lies (keys and indices; one of what stands there before what is missing),
    and what it is."""
    found = min(error.errors(), key=lambda e: e["type"].startswith("missing"))
    more = found.get("ctx", {})
    at = tuple(k for k in (*found["loc"], more.get("key", "[key]")) if k != "[key]")
    if isinstance(more.get("error"), ParameterError):
        return at, more["error"]
    # an entry of a list goes by the list's name
    runs = [
        list(run)
        for number, run in itertools.groupby(at, lambda k: isinstance(k, int))
        if not number
    ]
    key = ".".join(map(str, runs[-1])) if runs else "the file"
    if found["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        known = _keys(kind, at[:-1])
        way_out = f"Use {', '.join(known)}."
        return at, ParameterError(f"key {key!r} is not known{did_you_mean(key, known)}.", way_out)
    given, said = found["input"], found["msg"].replace("Input", "It") + "."
    close = (
        did_you_mean(given, more["expected"].split("'")[1::2])
        if found["type"] == "literal_error"
        else ""
    )
    is_ = "missing" if found["type"].startswith("missing") else f"{reprlib.repr(given)}{close}"
    return at, ParameterError(
        f"{key} is {is_}.", _SAID.get(found["type"].removesuffix("_argument"), said)
    )


def _keys(kind: type, at: tuple[int | str, ...]) -> list[str]:
    """Return the keys that may stand at a place of the file, from the JSON schema of ``kind``."""
    schema = TypeAdapter(kind).json_schema()
    node: dict[str, Any] = schema
    for key in (*at, None):
        node = schema["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node
        if key is not None:
            node = node["items"] if isinstance(key, int) else node["properties"][key]
    return list(node["properties"])


def read_yaml(path: str | Path, ours: str) -> tuple[dict[str, object], Callable[..., str]]:
    """Return the mapping that a YAML file holds, and ``where``, which says where a value stands.

    ``where("demand", 0, "needs")`` is 'demand.yaml, line 5', by keys and indices (from 0); what has no line of
    its own (a key that is missing) has that of what should hold it. ``ours`` is the pattern of our own files of that
    kind from the project's root, named where the file does not exist. ParameterError with the line where it is not
    YAML, not a mapping, or a key of a mapping repeats.
    """
    path = Path(path)
    if not path.exists() and locations.find(path).exists():
        path = locations.find(path)
    root: Any = None

    def where(*keys: object) -> str:
        node, line = root, root.start_mark.line + 1
        for key in map(str, keys):
            if isinstance(node, yaml.MappingNode):
                found = [(k.start_mark, value) for k, value in node.value if str(k.value) == key]
            else:
                found = [(item.start_mark, item) for item in node.value[int(key) : int(key) + 1]]
            if not found:
                break
            line, node = found[0][0].line + 1, found[0][1]
        return f"{path.name}, line {line}"

    try:
        loader = _Loader(path.read_text(encoding="utf-8"))
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            raise ParameterError(f"{path.name} holds no 'key: value' lines.")
        return {str(key): value for key, value in loader.construct_document(root).items()}, where
    except FileNotFoundError as cause:
        root = locations.bundled()
        known = ", ".join(sorted(str(p.relative_to(root)) for p in root.glob(ours)))
        raise ParameterError(f"no file {path}.", f"There are {known}.") from cause
    except yaml.MarkedYAMLError as cause:
        line = cause.problem_mark.line + 1 if cause.problem_mark else 1
        raise ParameterError(
            f"{path.name}, line {line}: {cause.problem}.", "Mend the YAML there."
        ) from cause
    except (yaml.YAMLError, UnicodeError, OSError) as cause:
        raise ParameterError(f"{path.name} is not readable as YAML: {cause}.") from cause


class _Loader(yaml.SafeLoader):
    """Refuses a key that repeats, and tells the line of a value that cannot be, such as an impossible date."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        keys: dict[str, yaml.Node] = {}
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if (first := keys.setdefault(str(key.value), key)) is not key:
                said = f"{key.value!r} stands in line {first.start_mark.line + 1} already"
                raise ConstructorError(problem=said, problem_mark=key.start_mark)
        try:
            return super().construct_object(node, deep)
        except ValueError as cause:
            raise ConstructorError(problem=str(cause), problem_mark=node.start_mark) from cause
