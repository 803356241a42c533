"""Figures of quality are those of a small project; what was not measured says so."""

import json
import os
import subprocess
import sys

import pytest

from benchmarks import mutation as mutants
from cloudarb_lib.base import locations
from pipelines import cli
from pipelines.quality import complexity, covered, landings, mutation
from pipelines.quality.figure import Figure, table

BRANCHING = """
def plain(x):
    return x


def branching(x):
    if x > 0 and x < 9:
        return 1
    for _ in range(x):
        pass
    return 0
"""
TEST = """
from cloudarb_lib.code import plain


def test_plain():
    assert plain(1) == 1
"""


@pytest.fixture
def checkout(tmp_path):
    """A project of two functions and a test of one of them."""
    for name in ("cloudarb_lib", "pipelines", "tests/base", ".git"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "cloudarb_lib" / "__init__.py").touch()
    (tmp_path / "cloudarb_lib" / "code.py").write_text(BRANCHING)
    (tmp_path / "tests" / "base" / "test_code.py").write_text(TEST)
    return tmp_path


def test_the_complexity_of_each_function_is_counted(checkout):
    found = complexity.complexities(checkout)
    assert found == {"cloudarb_lib/code.py:2 plain": 1, "cloudarb_lib/code.py:6 branching": 3}
    values = {figure.what: figure.value for figure in complexity.figures(checkout)}
    assert values == {
        "mean of a function": 2.0,
        "95th percentile": pytest.approx(2.9),
        "functions over 10": 0,
        "highest": 3,
    }


@pytest.mark.slow
def test_coverage_is_measured_folder_by_folder_and_goes_on(checkout, tmp_path, monkeypatch):
    pytest.importorskip("coverage", reason="coverage is not installed: make platform")
    monkeypatch.setenv("PYTHONPATH", str(checkout))
    state = tmp_path / "state"
    before = covered.figures(checkout, state)
    assert [figure.value for figure in before] == [None, None]
    assert "--cover" in before[0].told
    covered.measure(checkout, state, covered.NOT_LONG)
    lines, branches = covered.figures(checkout, state)
    # of 8 lines with code 3 are run, and none of the 4 branches
    assert lines.value == pytest.approx(100 * 3 / 8)
    assert branches.value == 0
    assert (lines.goal, branches.goal) == (94.7, 90.0)
    assert lines.told == "3 of 8; tests 'not long', 1 of 1 folders"

    def refuse(*_, **__):
        raise AssertionError("it was measured already")

    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "run", refuse)
        covered.measure(checkout, state, covered.NOT_LONG)
    keep_and_read_of_other_sources(checkout, state)


def keep_and_read_of_other_sources(checkout, state):
    """What was measured is kept with its revision, and read where there is nothing newer."""
    (checkout / ".git").rmdir()
    subprocess.run(["git", "init", "-q"], cwd=checkout, check=True)
    commit(checkout, "First", "2026-01-01T00:00:00", "a = 1\n")
    covered.keep(checkout, state)
    kept = json.loads((checkout / covered.RESULTS).read_text())
    assert kept["most_missed"] == {"cloudarb_lib/code.py": 5, "cloudarb_lib/__init__.py": 0}
    (checkout / "cloudarb_lib" / "code.py").write_text(BRANCHING + "\n\nNEW = 1\n")
    (lines, _) = covered.figures(checkout, state)
    assert lines.value == pytest.approx(100 * 3 / 8)
    assert lines.told.endswith(f"1 of 1 folders; revision {kept['revision'][:8]}")


def commit(root, subject, at, text, *, written=None):
    (root / "a.py").write_text(text)
    dates = {"GIT_COMMITTER_DATE": f"{at} +0000", "GIT_AUTHOR_DATE": f"{written or at} +0000"}
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for words in (["add", "-A"], [*who, "commit", "-qm", subject]):
        subprocess.run(["git", *words], cwd=root, check=True, env=os.environ | dates)


@pytest.fixture
def history(tmp_path):
    """Four landings: the second is mended within a day, the third two days later."""
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    commit(tmp_path, "First", "2026-01-01T00:00:00", "a\nb\nc\n")
    commit(tmp_path, "Second", "2026-01-02T02:00:00", "a\nB\nc\n", written="2026-01-02T00:00:00")
    commit(tmp_path, "Mends the second", "2026-01-02T12:00:00", "a\nbb\nc\n")
    commit(tmp_path, "Mends the first", "2026-01-05T00:00:00", "a\nbb\ncc\n")
    return tmp_path


def test_landings_are_counted_and_mended_ones_found(history):
    landed = landings.landings(history)
    assert [landing.subject for landing in landed][:2] == ["Mends the first", "Mends the second"]
    mended = landings.mended_within_a_day(history, landed)
    assert [one.subject for one in landed if one.commit in mended] == ["Second"]
    values = {figure.what: figure.value for figure in landings.figures(history)}
    assert values["a day"] == 1.0
    assert values["lead time, median"] == 0
    assert values["lead time, 90th percentile"] == pytest.approx(1.4)
    assert values["mended within a day"] == 25.0
    assert len(landings.landings(history, days=3)) == 3


def test_mutants_are_told_where_they_were_tried(tmp_path):
    (unmeasured,) = mutation.figures(tmp_path)
    assert unmeasured.value is None
    results = tmp_path / mutation.RESULTS
    results.parent.mkdir(parents=True)
    told = {"mutants": 10, "tried": 8, "killed": 6, "survived": ["a", "b"]}
    untried = {"mutants": 5, "tried": 0, "killed": 0, "survived": []}
    results.write_text(json.dumps({"modules": {"a.py": told, "b.py": untried}}))
    first, second = mutation.figures(tmp_path)
    assert (first.value, second.value) == (75.0, None)
    assert first.told == "mutmut: 6 of 8 tried killed, 10 there are"


def test_notes_of_mutmut_are_read(tmp_path):
    notes = tmp_path / "mutants" / "room" / "a.py.meta"
    notes.parent.mkdir(parents=True)
    codes = {"a": 1, "b": 0, "c": 33, "d": None, "e": 24}
    notes.write_text(json.dumps({"exit_code_by_key": codes}))
    found = mutants.outcome(tmp_path, "room/a.py")
    assert found == {"mutants": 5, "tried": 4, "killed": 2, "survived": ["b", "c"]}


def test_modules_and_tests_that_are_mutated_are_there():
    for tried in mutants.CORE:
        for path in (tried.module, *tried.tests):
            assert (mutants.ROOT / path).is_file()


def test_a_module_that_is_not_tried_is_refused(capsys):
    with pytest.raises(SystemExit):
        mutants.main(["cloudarb_lib/base/units.py"])
    assert "Known: cloudarb_lib/base/measures.py" in capsys.readouterr().err


def test_a_table_says_what_was_not_measured():
    rows = table([Figure("a", "b", None, "%", "c", 90.0), Figure("d", "e", 12.345, "%", "f")])
    assert rows.splitlines()[1:] == ["a: b  not measured  90 %  c", "d: e  12.35 %             f"]


@pytest.mark.slow
def test_the_command_prints_figures_of_this_checkout(capsys):
    assert cli.main(["quality", "--json", "--days", "1"]) == 0
    parts = {figure["part"] for figure in json.loads(capsys.readouterr().out)}
    assert parts == {"complexity", "coverage", "mutation", "landings"}


@pytest.mark.parametrize(
    ("words", "told"), [(["--data", "none"], "no file none"), (["--days", "0"], "'--days'")]
)
def test_mistakes_are_told(words, told, capsys):
    assert cli.main(["quality", *words]) == 2
    assert told in capsys.readouterr().err


def test_outside_a_checkout_it_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(locations, "bundled", lambda: tmp_path)
    assert cli.main(["quality"]) == 2
    assert "is no checkout" in capsys.readouterr().err


def test_coverage_of_a_file_is_read(checkout, tmp_path):
    pytest.importorskip("coverage", reason="coverage is not installed: make platform")
    words = ["run", "--branch", "--source=cloudarb_lib", "-m", "cloudarb_lib.code"]
    command = [sys.executable, "-m", "coverage", *words]
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    subprocess.run(command, cwd=checkout, check=True, env=environment)
    lines, branches = covered.figures(checkout, tmp_path / "state", checkout / ".coverage")
    assert lines.value == pytest.approx(100 * 2 / 8)
    assert branches.value == 0
