"""Files of a run are whole or not there, known by digest, and name no place of this machine."""

import sys
from pathlib import Path

import pytest

from cloudarb_lib.base import locations
from cloudarb_lib.base.digests import digest_files
from pipelines.run.files import read_json, scrub, write_text


def test_files_are_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.json"
    write_text(path, "{}")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "\ud800")
    assert read_json(path) == {}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    path.write_text("[1]")
    assert read_json(path) is None
    assert read_json(tmp_path / "none") is None


def test_digests_tell_contents_and_names_apart(tmp_path):
    one, two = tmp_path / "1", tmp_path / "2"
    one.write_text("x"), two.write_text("x")
    assert digest_files([one]) != digest_files([two])
    assert digest_files([one, two]) != digest_files([two, one])
    before = digest_files([one])
    one.write_text("y")
    assert digest_files([one]) != before


def test_scrub_names_no_place_of_this_machine():
    text = f"{Path.home()}/x {sys.prefix}/lib /elsewhere/run/tables"
    said = scrub(text, {Path("/elsewhere/run"): "."})
    assert said.startswith("~/x ")
    assert said.endswith("/lib ./tables")
    assert not [
        place for place in (str(Path.home()), sys.prefix, str(locations.bundled())) if place in said
    ]
