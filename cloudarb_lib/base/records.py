"""Records: frozen dataclasses checked by the types of their fields, from Python or a YAML file."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast, dataclass_transform

import pydantic
from pydantic import ConfigDict, Field, StrictStr, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from cloudarb_lib.base.errors import ParameterError, did_you_mean
from cloudarb_lib.base.yaml_files import YamlFile, read_yaml

T = TypeVar("T")

Flag = pydantic.StrictBool
Text = Annotated[StrictStr, pydantic.StringConstraints(strip_whitespace=True, min_length=1)]
Names = Annotated[
    tuple[Text, ...],
    pydantic.BeforeValidator(lambda value: (value,) if isinstance(value, str) else value),
]
"""A name, or a list of names."""
Number = Annotated[pydantic.StrictFloat, Field(allow_inf_nan=False)]
Positive = Annotated[Number, Field(gt=0)]
NotNegative = Annotated[Number, Field(ge=0)]
Share = Annotated[Number, Field(gt=0, le=1)]

_STRICT = ConfigDict(extra="forbid", validate_by_name=True, validate_by_alias=True)
_UNKNOWN_KEY = ("unexpected_keyword_argument", "extra_forbidden")
_WAYS_OUT = {
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

Place = tuple[int | str, ...]
"""The way to a value in a file: keys, and indices of lists (from 0)."""


def key(
    meaning: str, *, example: str, unit: str = "", without: str = "", **rules: Any
) -> FieldInfo:
    """Return the field of a key.

    Parameters
    ----------
    meaning
        What it says, for people.
    example
        A value as it stands in a file.
    unit
        Of the value.
    without
        What holds where it is left out, unless its default tells.
    **rules
        ``alias`` and constraints, as of ``pydantic.Field``.
    """
    about: dict[str, Any] = {"unit": unit, "without": without}
    field: FieldInfo = Field(
        description=meaning, examples=[example], json_schema_extra=about, **rules
    )
    return field


@dataclass_transform(frozen_default=True)
def record(cls: type[T]) -> type[T]:
    """Make a class a frozen dataclass whose fields are checked by their types.

    Parameters
    ----------
    cls : type
        Annotated fields, types of pydantic's among them. A field with an alias may be given by
        either name.

    Returns
    -------
    type
        The dataclass. Making one raises ParameterError that names the field, its value and what
        it should be; one that ``__post_init__`` raises is told in the same way.
    """
    checked: Any = dataclass(frozen=True, config=_STRICT)(cls)
    checked_init = checked.__init__
    names = [field.name for field in dataclasses.fields(checked)]

    @functools.wraps(checked_init)
    def init(self: Any, *args: Any, **given: Any) -> None:
        positional = dict(zip(names[: len(args)], args, strict=True))
        try:
            checked_init(self, **positional, **given)
        except ValidationError as error:
            _, fault = _first_mistake(error, checked)
            raise ParameterError(f"{cls.__name__.lower()}: {fault.what}", fault.way_out) from None

    checked.__init__ = init
    return cast(type[T], checked)


def read(kind: type[T], path: str | Path, ours: str = "") -> T:
    """Read a record from a YAML file: ``checked`` of what ``read_yaml`` returns.

    Parameters
    ----------
    kind : type
        A class made by ``record``.
    path : str or Path
        The file.
    ours : str
        Pattern of the files of that kind that come with the program, as for ``read_yaml``.

    Returns
    -------
    object
        The record.

    Raises
    ------
    ParameterError
        As of these two.
    """
    return checked(kind, read_yaml(path, ours))


def checked(kind: type[T], file: YamlFile) -> T:
    """Return the record in a YAML file, whose keys are its fields or their aliases.

    Parameters
    ----------
    kind : type
        A class made by ``record``.
    file : YamlFile
        The file, as ``read_yaml`` returns it.

    Returns
    -------
    object
        The record.

    Raises
    ------
    ParameterError
        With file and line, for a key that is not known (naming the nearest), one that is missing,
        a value of the wrong type or size, and whatever the record itself refuses.
    """
    try:
        return TypeAdapter(kind).validate_python(file.values)
    except ValidationError as error:
        place, fault = _first_mistake(error, kind)
        raise ParameterError(f"{file.where(*place)}: {fault.what}", fault.way_out) from fault


def _first_mistake(error: ValidationError, kind: type) -> tuple[Place, ParameterError]:
    """Return where the first mistake lies, and what it is; what stands there before what lacks."""
    mistake = min(error.errors(), key=lambda each: each["type"].startswith("missing"))
    context = mistake.get("ctx", {})
    place = tuple(key for key in (*mistake["loc"], *context.get("keys", ())) if key != "[key]")
    refused = context.get("error")
    if isinstance(refused, ParameterError):
        return place, refused
    key = _name(place)
    if mistake["type"] in _UNKNOWN_KEY:
        known = _keys(kind, place[:-1])
        what = f"key {key!r} is not known{did_you_mean(str(place[-1]), known)}."
        return place, ParameterError(what, f"Use {', '.join(known)}.")
    pydantics_words = mistake["msg"].replace("Input", "It") + "."
    way_out = _WAYS_OUT.get(mistake["type"].removesuffix("_argument"), pydantics_words)
    if percent := re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*%\s*", str(mistake["input"])):
        way_out = f"Write {float(percent[1]) / 100:g}."
    return place, ParameterError(f"{key} is {_given(mistake, context)}.", way_out)


def _name(place: Place) -> str:
    """Return what to call a place: its last keys; an entry of a list goes by the list's name."""
    runs = [
        [str(key) for key in run]
        for is_index, run in itertools.groupby(place, lambda key: isinstance(key, int))
        if not is_index
    ]
    return ".".join(runs[-1]) if runs else "the file"


def _given(mistake: ErrorDetails, context: Mapping[str, Any]) -> str:
    """Return what was given in place of a right value, and the nearest of those allowed."""
    if mistake["type"].startswith("missing"):
        return "missing"
    given = mistake["input"]
    is_whole = isinstance(given, float) and given.is_integer()
    if is_whole and not mistake["type"].startswith("int"):
        given = int(given)  # as it stands in a sentence
    close = ""
    if mistake["type"] == "literal_error":
        allowed = context["expected"].split("'")[1::2]
        close = did_you_mean(given, allowed)
    return f"{reprlib.repr(given)}{close}"


def _keys(kind: type, place: Place) -> list[str]:
    """Return the keys that may stand at a place of the file, from the JSON schema of ``kind``."""
    schema = TypeAdapter(kind).json_schema()

    def resolved(node: dict[str, Any]) -> dict[str, Any]:
        node = node.get("anyOf", [node])[0]  # of a record that may be left out
        reference = node.get("$ref")
        definitions: dict[str, dict[str, Any]] = schema.get("$defs", {})
        return definitions[reference.rpartition("/")[2]] if reference else node

    node = resolved(schema)
    for key in place:
        node = resolved(node["items"] if isinstance(key, int) else node["properties"][key])
    return list(node["properties"])
