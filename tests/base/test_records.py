"""Records are checked by the types of their fields, and say where a mistake lies."""

import dataclasses
from typing import Annotated, Literal

import pytest
from pydantic import Field

from cloudarb_lib.base import records
from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.records import Flag, Names, Number, Positive, Share, Text


@records.record
class Part:
    name: Text
    share: Share = 1.0
    where: Annotated[Names, Field(alias="in")] = ("*",)
    kind: Literal["spot", "on_demand"] = "spot"
    rates: dict[str, Positive] = dataclasses.field(default_factory=dict)
    sure: Flag = False

    def __post_init__(self):
        if self.name == "none":
            raise ParameterError("a part named none.", "Name it.")


@records.record
class Whole:
    parts: list[Part]
    size: Number | None = None


def test_a_record_reads_from_a_file_and_from_python(tmp_path):
    (tmp_path / "w.yaml").write_text(
        "size: 3\nparts:\n  - name: a\n    in: us-*\n    rates: {H100: 2}\n"
        "  - {name: b, in: [x, y], sure: yes}\n"
    )
    made = Whole(
        [Part("a", where=("us-*",), rates={"H100": 2.0}), Part("b", where=("x", "y"), sure=True)],
        3.0,
    )
    assert records.read(Whole, tmp_path / "w.yaml") == made
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.size = 4
    assert dataclasses.replace(made, size=4.0).size == 4.0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("size: 1", "line 1: parts is missing. Way out: Add it"),
        ("partz: []\nsize: 1", r"line 1: key 'partz' .*did you mean 'parts'.*Use parts, size"),
        ("parts: 3", "line 1: parts is 3. Way out: Write a list"),
        ("parts:\n- 3", "line 2: parts is 3. Way out: Write 'key: value' lines"),
        ("parts:\n- share: 1", "line 2: name is missing"),
        (
            "parts:\n- name: a\n  shair: 1",
            r"line 3: key 'shair' .*did you mean 'share'.*Use name, share, in,",
        ),
        (
            "parts:\n- name: a\n  share: 1.5",
            "line 3: share is 1.5. Way out: It should be less than or equal to 1",
        ),
        ("parts:\n- name: a\n  share: yes", "line 3: share is True. Way out: Write a number"),
        ("parts:\n- name: a\n  share: '1'", "line 3: share is '1'. Way out: Write a number"),
        (
            "parts:\n- name: a\n- name: b\n  in: [a,\n   3]",
            "line 5: in is 3. Way out: Write a text",
        ),
        (
            "parts:\n- name: a\n  kind: sport",
            r"line 3: kind is 'sport' .did you mean 'spot'.*'spot' or 'on_demand'",
        ),
        (
            "parts:\n- name: a\n  rates:\n    H100: 0",
            r"line 4: rates\.H100 is 0. Way out: It should be greater",
        ),
        ("parts:\n- name: a\n  sure: 1.5", "line 3: sure is 1.5. Way out: Write yes or no"),
        ("parts:\n- name: none", "line 2: a part named none. Way out: Name it"),
        ("parts: []\nsize: .inf", "line 2: size is inf. Way out: It should be a finite number"),
    ],
)
def test_what_a_record_refuses_is_told_with_its_line(tmp_path, text, told):
    (tmp_path / "w.yaml").write_text(text)
    with pytest.raises(ParameterError, match=rf"^w\.yaml, {told}"):
        records.read(Whole, tmp_path / "w.yaml")


def test_what_a_record_refuses_from_python_is_told_with_its_name():
    with pytest.raises(ParameterError, match="part: share is 2"):
        Part("a", 2.0)
    with pytest.raises(ParameterError, match=r"part: key 'shair' .*did you mean 'share'"):
        Part("a", shair=1.0)
    with pytest.raises(ParameterError, match=r"^part: a part named none\. Way out: Name it"):
        Part("none")
    with pytest.raises(ValueError, match="longer"):
        Whole([], 1.0, 2.0)
