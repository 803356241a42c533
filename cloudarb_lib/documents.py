"""YAML files that people write: read safely, checked by the types of a record, each mistake told with its line."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import reprlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar, dataclass_transform

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictStr,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
from pydantic.dataclasses import dataclass

from cloudarb_lib.errors import ParameterError
from cloudarb_lib.handover import PROJECT
from cloudarb_lib.schema import nearest

T = TypeVar("T")

Flag = StrictBool
Text = Annotated[StrictStr, StringConstraints(strip_whitespace=True, min_length=1)]
Names = Annotated[tuple[Text, ...], BeforeValidator(lambda v: (v,) if isinstance(v, str) else v)]
"""A name, or a list of names."""
Number = Annotated[StrictFloat, Field(allow_inf_nan=False)]
Positive = Annotated[Number, Field(gt=0)]
NotNegative = Annotated[Number, Field(ge=0)]
Share = Annotated[Number, Field(gt=0, le=1)]


@dataclass_transform(frozen_default=True)
def record(cls: type[T]) -> type[T]:
    """Make ``cls`` a frozen dataclass whose fields are checked by their types (pydantic's), from Python or a file.

    A field with an alias may be given by either name. ParameterError names the field, its value and what it
    should be; one of ``__post_init__`` is told likewise.
    """
    made: Any = dataclass(
        frozen=True, config=ConfigDict(extra="forbid", validate_by_name=True, validate_by_alias=True)
    )(cls)
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
    names = list(at)
    while names and isinstance(names[-1], int):
        names.pop()  # an entry of a list goes by the list's name
    within = list(itertools.takewhile(lambda k: isinstance(k, str), reversed(names)))
    key = ".".join(map(str, reversed(within))) or "the file"
    if found["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        known = _keys(kind, at[:-1])
        way_out = f"Use {', '.join(known)}."
        return at, ParameterError(f"key {key!r} is not known{nearest(key, known)}.", way_out)
    given, said = found["input"], found["msg"].replace("Input", "It") + "."
    close = nearest(given, more["expected"].split("'")[1::2]) if found["type"] == "literal_error" else ""
    is_ = "missing" if found["type"].startswith("missing") else f"{reprlib.repr(given)}{close}"
    return at, ParameterError(f"{key} is {is_}.", _SAID.get(found["type"].removesuffix("_argument"), said))


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
    its own (a key that is missing) has that of what should hold it, what an alias repeats that of its anchor. ``ours`` is the
    pattern of our own files of that kind from the project's root, named where the file does not exist.
    ParameterError with the line where it is not YAML, not a mapping, or a key of a mapping repeats.
    """
    import yaml

    path, loader = Path(path), yaml.SafeLoader("")
    lines: dict[tuple[str, ...], int] = {}
    seen: set[int] = set()

    def where(*keys: object) -> str:
        at = tuple(map(str, keys))
        while at not in lines:
            at = at[:-1]
        return f"{path.name}, line {lines[at]}"

    def walk(node: yaml.Node, at: tuple[str, ...]) -> None:
        lines.setdefault(at, node.start_mark.line + 1)
        if id(node) in seen:
            return  # an alias, which may hold itself
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                inner, line = (*at, str(key.value)), key.start_mark.line + 1
                if inner in lines:
                    raise ParameterError(
                        f"{path.name}, line {line}: {key.value!r} stands in line {lines[inner]} already."
                    )
                lines[inner] = line
                walk(value, inner)
        elif isinstance(node, yaml.SequenceNode):
            for i, item in enumerate(node.value):
                walk(item, (*at, str(i)))
        else:
            loader.construct_object(node)  # its fault, such as an impossible date, is this line's

    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        if not isinstance(root, yaml.MappingNode):
            raise ParameterError(f"{path.name} holds no 'key: value' lines.")
        walk(root, ())
        values = loader.construct_document(root)
    except ParameterError:
        raise
    except FileNotFoundError as cause:
        known = ", ".join(sorted(str(p.relative_to(PROJECT)) for p in PROJECT.glob(ours)))
        raise ParameterError(f"no file {path}.", f"There are {known}.") from cause
    except (yaml.YAMLError, ValueError, OSError) as cause:
        mark = getattr(cause, "problem_mark", None)
        after = f" at line {mark.line + 1}" if mark else f" after line {max(lines.values())}" if lines else ""
        raise ParameterError(f"{path.name} is not readable as YAML{after}: {cause}.") from cause
    return {str(key): value for key, value in values.items()}, where
