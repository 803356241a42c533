"""YAML files are read with the line of every value, however deep, and no fault lacks its line."""

import pytest

from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.yaml_files import read_yaml

TEXT = """# a comment
demand:
  - workload: a
    accepts: {H100: 2.0, 4: x}
    in: [us-*,
         europe-*]
  - *b
kept: &c
  - *c
"""


def read(tmp_path, text):
    (tmp_path / "d.yaml").write_text(text)
    return read_yaml(tmp_path / "d.yaml", "data/demand*.yaml")


def test_every_value_has_its_line(tmp_path):
    file = read(tmp_path, TEXT.replace("- *b", "- workload: b"))
    where = file.where
    assert file.values["demand"][0]["in"] == ["us-*", "europe-*"]
    assert where("demand") == "d.yaml, line 2"
    assert where("demand", 0) == where("demand", 0, "workload") == "d.yaml, line 3"
    assert where("demand", 0, "accepts", 4) == "d.yaml, line 4"
    assert where("demand", 0, "in", 1) == "d.yaml, line 6"
    assert where("demand", 1, "needs") == where("demand", 1) == "d.yaml, line 7"
    assert where("kept", 0, 0, 0) == "d.yaml, line 8"  # holds itself
    assert where("nothing") == "d.yaml, line 2"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (TEXT, "line 7: found undefined alias"),
        ("a:\n  b: 1\n  c: 2\n  b: 3\n", "line 4: 'b' stands in line 2 already"),
        ("a: {b: 1, b: 2}\n", "line 1: 'b' stands in line 1 already"),
        ("a: 1\nb:\n  - when: 2026-02-30\n", "line 3: day is out of range"),
        ("a:\n  - !!python/object:os.system {}\n", "line 2: could not determine"),
        ("a: 1\n? [b]\n: 2\n", "line 2: .*unhashable"),
        ("a: [3", "line 1: expected"),
        ("- a\n", "holds no"),
        ("", "holds no"),
    ],
)
def test_a_fault_is_told_with_its_line(tmp_path, text, told):
    with pytest.raises(ParameterError, match=rf"(?s)d.yaml.*{told}"):
        read(tmp_path, text)


def test_what_is_no_file_of_text_is_told(tmp_path):
    with pytest.raises(
        ParameterError, match=r"no file .*none.yaml. Way out: There are data/demand.yaml, data"
    ):
        read_yaml(tmp_path / "none.yaml", "data/demand*.yaml")
    with pytest.raises(ParameterError, match="not readable"):
        read_yaml(tmp_path, "")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ParameterError, match="not readable"):
        read_yaml(tmp_path / "b.yaml", "")
