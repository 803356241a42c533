"""Values of a demand file that are sentences: the patterns that read them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic_core import PydanticCustomError

from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.records import Place

_NUMBER = r"([0-9][0-9_,]*(?:\.[0-9]+)?)"
_REGION = r"([\w.-]+/[\w.-]+)"
_COUNT = r"(?:(?P<count>[0-9]+)\s*x\s*)?"
SENTENCES = {
    "needs": {
        rf"{_COUNT}(?P<needs>{_NUMBER}) (?P<accepts>(?!GPU.hours)[\w.-]+)": "64 H100",
        rf"(?P<needs>{_NUMBER}) (?P<batch>GPU.hours) a week": "4000 GPU-hours a week",
        rf"(?P<needs>{_NUMBER}) (?P<batch>GPU.hours) in (?P<deadline_weeks>{_NUMBER}) weeks?": (
            "9000 GPU-hours in 4 weeks"
        ),
    },
    "data": {
        rf"(?P<data>{_NUMBER}) ?GB(?P<data_weekly> a week) in (?P<data_in>{_REGION})": (
            "500 GB a week in gcp/us-east4"
        ),
        rf"(?P<data>{_NUMBER}) ?GB in (?P<data_in>{_REGION})": "500 GB in gcp/us-east4",
    },
    "latency": {
        rf"(?P<within_ms>{_NUMBER}) ?ms to (?P<at>{_REGION})": "40 ms to gcp/europe-west3",
        rf"(?P<within_ms>{_NUMBER}) ?ms to (?P<at>{_REGION}) for (?P<percent>{_NUMBER}) ?%": (
            "40 ms to gcp/europe-west3 for 60 %"
        ),
    },
    "worth": {rf"(?P<worth>{_NUMBER}) USD per GPU.hour": "2.50 USD per GPU-hour"},
    "early": {rf"(?P<early>{_NUMBER}) USD per GPU.hour and week": "0.05 USD per GPU-hour and week"},
    "gpus_each": {rf"(?P<gpus_each>{_NUMBER}) (?P<gpu_model>(?!GPU.hours)[\w.-]+)": "8 H100"},
    "budget": {
        rf"(?P<budget>{_NUMBER}) USD(?P<budget_weekly> a week)": "50000 USD a week",
        rf"(?P<budget>{_NUMBER}) USD": "650000 USD",
    },
}
"""Keys whose value in a file is a sentence: the patterns that read it, whose groups are fields,
each with an example."""
_LISTS = ("latency",)
"""Keys whose value is a sentence or a list of them, an entry each."""
_FLAGS = ("batch", "data_weekly", "budget_weekly")
"""Groups of the patterns that are true where their words stand."""


def examples_of(key: str) -> list[str]:
    """Return the sentences that stand as examples of a key."""
    return list(SENTENCES[key].values())


def without_sentences(given: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """Return what a file gives for an entry, with the fields that its sentences tell.

    Parameters
    ----------
    given
        Key to value, as they stand in the file.
    keys
        Those whose values are sentences.

    Raises
    ------
    PydanticCustomError
        With a ParameterError for a sentence that does not read, for ``base.records``.
    """
    sentences = [key for key in keys if key in given]
    fields: dict[str, Any] = {}
    for key in sentences:
        fields |= _fields_in(key, given[key])
    return fields | {key: value for key, value in given.items() if key not in sentences}


def refused(keys: Place, what: str, way_out: str = "") -> PydanticCustomError:
    """Return the error of what stands at ``keys`` of an entry: ``base.records`` tells its line."""
    error = ParameterError(what, way_out)
    return PydanticCustomError("refused", "refused", {"keys": keys, "error": error})


def _fields_in(key: str, value: object) -> dict[str, Any]:
    """Return the fields that the value of a key tells: a sentence, or a list of them."""
    if key == "needs" and isinstance(value, list) and value:
        return _fields_of_periods(key, value)
    if key in _LISTS:
        entries = value if isinstance(value, list) and value else [value]
        return {key: [_fields_of((key, i), entry) for i, entry in enumerate(entries)]}
    return _fields_of((key,), value)


def _fields_of(place: tuple[str, *tuple[int, ...]], value: object) -> dict[str, Any]:
    """Return the fields that the sentence at a place of an entry tells."""
    key = place[0]
    for pattern in SENTENCES[key]:
        if found := re.fullmatch(pattern, str(value).strip(), re.IGNORECASE):
            fields = {name: _typed(name, text) for name, text in found.groupdict().items() if text}
            if 0 in (fields.get("count"), fields.get("deadline_weeks")):
                raise refused(place, f"{key}: {value!r} is nothing to do.", "Leave the entry out.")
            if weeks := fields.get("deadline_weeks"):
                fields["needs"] /= weeks
            return fields
    examples = " or ".join(map(repr, examples_of(key)))
    raise refused(place, f"{key}: {value!r} does not read like {examples}.")


def _fields_of_periods(key: str, value: list[object]) -> dict[str, Any]:
    """Return the fields of a list of needs, which differ in their amounts alone."""
    each = [_fields_of((key, i), item) for i, item in enumerate(value)]
    amounts = tuple(fields.pop("needs") for fields in each)
    if any(fields != each[0] for fields in each):
        raise refused((key,), f"{key}: {value!r} differs in more than its amounts.")
    return {**each[0], "needs": max(amounts), "amounts": amounts}


def _typed(name: str, text: str) -> Any:
    """Return a group of a sentence as a flag, a number or a text."""
    if name in _FLAGS:
        return True
    if re.fullmatch(_NUMBER, text):
        return float(re.sub("[,_]", "", text))
    return text
