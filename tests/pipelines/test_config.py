"""Configurations and parameters are checked whole, by name and type, before anything runs."""

import datetime
import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cloudarb_lib.base import locations
from cloudarb_lib.base.errors import ParameterError
from pipelines.run.config import (
    SET_BY_RUN,
    Parameter,
    check_parameters,
    declared_parameters,
    load_config,
    read_changes,
)
from pipelines.run.stages import STAGES
from pipelines.testing import CONFIG, PARAMETERS, notebook, project

KINDS = {"str": "a", "int": 1, "float": 1.0, "bool": True, "list": ["a"]}


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    return project(tmp_path_factory.mktemp("toys"))


def load(toys, tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    return load_config(path, toys / "notebooks")


@pytest.mark.parametrize("name", ["weekly", "marketplace"])
def test_the_configurations_that_we_ship_fit_the_notebooks(name):
    config = load_config(locations.configurations() / f"{name}.yaml")
    assert config.settings["name"] == name
    assert all(config.parameters[stage]["as_of"] == config.given["as_of"] for stage in STAGES)


def test_notebooks_that_share_a_parameter_agree_on_it():
    known: dict[str, Parameter] = {}
    for stage in STAGES:
        for name, parameter in declared_parameters(
            locations.notebooks() / f"{stage}.ipynb"
        ).items():
            if name != "budget_usd":  # in 03 a limit, in 04 a mark in the figure
                assert known.setdefault(name, parameter) == parameter, f"{stage}: {name}"
    assert set(SET_BY_RUN) <= set(known)


def test_each_notebook_is_given_what_it_declares(toys, tmp_path):
    notebook(tmp_path / "nb/01_explore_prices.ipynb", "as_of: str = ''")
    for stage in list(STAGES)[1:]:
        notebook(tmp_path / f"nb/{stage}.ipynb", PARAMETERS)
    (tmp_path / "c.yaml").write_text(CONFIG + "budget_usd: 20\n")
    config = load_config(tmp_path / "c.yaml", tmp_path / "nb")
    assert config.parameters["01_explore_prices"] == {"as_of": "2026-04-29"}
    assert config.parameters["05_summary"] == {"as_of": "2026-04-29", "seed": 3, "budget_usd": 20.0}
    assert type(config.given["budget_usd"]) is float


def test_an_age_holds_for_every_source_or_is_given_by_source(toys, tmp_path):
    folder = tmp_path / "nb"
    for stage in STAGES:
        declared = "as_of: str = ''\nseed: int = 1\nstale_after_days: dict = {'*': 14.0}"
        notebook(folder / f"{stage}.ipynb", declared)
    path = tmp_path / "c.yaml"
    for written, days in [("5", {"*": 5.0}), ("{'*': 5, gcp: 30.5}", {"*": 5.0, "gcp": 30.5})]:
        path.write_text(f"{CONFIG}stale_after_days: {written}\n")
        assert load_config(path, folder).given["stale_after_days"] == days
    for written, says in [("{gcp: 5}", "not '\\*'"), ("{'*': -5}", "-5"), ("soon", "'soon'")]:
        path.write_text(f"{CONFIG}stale_after_days: {written}\n")
        with pytest.raises(ParameterError, match=f"stale_after_days.*{says}"):
            load_config(path, folder)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("seed: 3", "sede: 3"), r"line 5: key 'sede' is not known \(did you mean 'seed'\?\)"),
        (("seed: 3", "seed: 3\nseed: 4"), "line 6: 'seed' stands in line 5 already"),
        (("seed: 3", "seed: 3.0"), r"line 5: seed is 3\.0\. .*valid integer"),
        (("seed: 3", "seed: yes"), "seed is True.*valid integer"),
        (("seed: 3", "seed:"), "seed is None"),
        (("seed: 3", "budget_usd: .inf"), "budget_usd is inf.*finite number"),
        (("seed: 3", "names: [a, 1]"), "line 5: names is 1.*Write a text"),
        (("seed: 3", "names: a"), "names is 'a'.*Write a list"),
        (("seed: 3", "run_dir: x"), "key 'run_dir' is not known"),
        (("2026-04-29", "2026-04-31"), "line 4: day is out of range"),
        (("2026-04-29", "2026-04-29 18:00:00"), "line 4: as_of .* has no time zone"),
        (("as_of: 2026-04-29\n", ""), "as_of is missing"),
        (("name: toy", "name: ../toy"), "name is '../toy'.*pattern"),
        (("timeout_s: 60", "timeout_s: 0"), "timeout_s is 0"),
        (("timeout_s: 60", "timeout_s: 1m"), "timeout_s is '1m'"),
        (("seed: 3", "seed: [3"), "line 5: expected|line 6: expected"),
        (("seed: 3", "seed: 3\nseed: 4\n  - 5: ["), "line 7: mapping values"),
        (("seed: 3", "seed: !!python/object:os.system {}"), "line 5: could not determine"),
        (("name: toy", "- toy"), "line .*expected"),
    ],
)
def test_a_fault_is_named_with_its_line(toys, tmp_path, change, told):
    assert change[0] in CONFIG
    with pytest.raises(ParameterError, match=told):
        load(toys, tmp_path, CONFIG.replace(*change))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("x = 1", "not one annotated literal"),
        ("x: int", "not one annotated literal"),
        ("x: int = 1 + y", "not one annotated literal"),
        ("x: Decimal = 1", "not one annotated literal"),
        ("x: int = 1\nx: int = 2", "line 2.* repeats a name"),
        ("import os", "not one annotated literal"),
        ("x: int = = 1", "no notebook that can be read"),
    ],
)
def test_a_parameters_cell_holds_annotated_literals_only(tmp_path, line, told):
    with pytest.raises(ParameterError, match=told):
        declared_parameters(notebook(tmp_path / "n.ipynb", line))


def test_a_file_that_is_no_notebook(tmp_path):
    path = notebook(tmp_path / "n.ipynb", "x: int = 1")
    path.write_text(path.read_text().replace('"parameters"', '"other"'))
    with pytest.raises(ParameterError, match="0 cells tagged"):
        declared_parameters(path)
    path.write_text("{}")
    with pytest.raises(ParameterError, match="no notebook"):
        declared_parameters(path)


values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.dates(), st.lists(st.text())
)


@pytest.mark.slow
@given(values, st.sampled_from(list(KINDS)))
def test_what_passes_has_the_type_declared(value, kind):
    known = {"x": Parameter(kind, KINDS[kind])}
    try:
        got = check_parameters({"x": value}, known)["x"]
    except ParameterError:
        fits = type(value).__name__ == kind and not (kind == "float" and not math.isfinite(value))
        assert not fits
        return
    assert type(got).__name__ == kind
    if type(value) is int and kind == "float":
        assert got == float(value)
    elif isinstance(value, datetime.date):
        assert got == value.isoformat()
    else:
        assert got == value


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("horizon_steps", 0),
        ("lookback_steps", -3),
        ("n_paths", 0),
        ("stale_after_days", -1),
        ("expired_after_days", -1),
        ("budget_usd", 0),
        ("providers", []),
        ("freq", "1ns"),
        ("timeout_s", 0),
    ],
)
def test_a_value_out_of_range_starts_nothing(tmp_path, key, value):
    text = yaml.safe_load((locations.configurations() / "weekly.yaml").read_text()) | {key: value}
    path = tmp_path / "weekly.yaml"
    path.write_text(yaml.safe_dump(text))
    with pytest.raises(ParameterError, match=f"weekly.yaml, line .*{key}"):
        load_config(path)


def test_a_mistake_in_the_demand_file_starts_nothing(tmp_path):
    demand = tmp_path / "demand.yaml"
    demand.write_text("demand:\n  - workload: a\n    nedds: 8 H100\n")
    text = yaml.safe_load((locations.configurations() / "weekly.yaml").read_text()) | {
        "demand": str(demand)
    }
    path = tmp_path / "weekly.yaml"
    path.write_text(yaml.safe_dump(text))
    with pytest.raises(ParameterError, match=r"line 3: key 'nedds'.*did you mean 'needs'"):
        load_config(path)


def test_a_changed_value_is_checked_like_one_of_the_file(toys, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(CONFIG)
    changes = read_changes(["seed=4", "budget_usd=20", "names=[a, b]", "as_of=2026-04-28"])
    config = load_config(path, toys / "notebooks", changes=changes)
    assert config.given == {
        "as_of": "2026-04-28",
        "seed": 4,
        "budget_usd": 20.0,
        "names": ["a", "b"],
    }


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("sede=4", r"--set sede: key 'sede' is not known \(did you mean 'seed'\?\)"),
        ("seed=soon", "--set seed: seed is 'soon'"),
        ("seed=", "--set 'seed=' gives seed no value.*as in budget_usd=1500000"),
        ("as_of=2026-04-31", "--set as_of: '2026-04-31' is no day: day is out of range"),
        ("as_of=2026-13-01", "--set as_of: '2026-13-01' is no day: month must be in"),
        ("as_of=lately", "--set as_of: .*'lately' is not a time"),
        ("names=[a", r"--set names: '\[a' is no value as YAML has it"),
        ("seed=!!python/object:os.system {}", "--set seed: .* is no value"),
        ("seed", "--set 'seed' is not key=value"),
        ("=4", "--set '=4' is not key=value"),
        ("seed= ", "gives seed no value"),
    ],
)
def test_a_wrong_change_is_named(toys, tmp_path, word, told):
    path = tmp_path / "c.yaml"
    path.write_text(CONFIG)
    with pytest.raises(ParameterError, match=told):
        load_config(path, toys / "notebooks", changes=read_changes([word]))


def test_a_value_is_set_once():
    with pytest.raises(ParameterError, match="sets 'seed' again"):
        read_changes(["seed=4", "seed=5"])


def test_latest_is_a_day_once_the_record_is_known(toys, tmp_path):
    config = load(toys, tmp_path, CONFIG.replace("2026-04-29", "latest"))
    assert config.given["as_of"] == "latest"
    dated = config.with_as_of("2026-04-28")
    assert dated.given["as_of"] == "2026-04-28"
    assert all(values["as_of"] == "2026-04-28" for values in dated.parameters.values())


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("[06_reserch]", "'06_reserch', which is no notebook"),
        ("[]", "notebooks has \\[\\]"),
        ("05_summary", "notebooks has '05_summary'"),
        ("[05_summary, 01_explore_prices]", "05_summary reads what 02_train_ensemble leaves"),
    ],
)
def test_notebooks_that_cannot_run_are_refused(toys, tmp_path, written, says):
    with pytest.raises(ParameterError, match=f"c.yaml, line 6: .*{says}"):
        load(toys, tmp_path, f"{CONFIG}notebooks: {written}\n")


def test_a_configuration_may_run_some_notebooks_alone(toys, tmp_path):
    config = load(toys, tmp_path, f"{CONFIG}notebooks: [02_train_ensemble, 01_explore_prices]\n")
    assert list(config.parameters) == ["01_explore_prices", "02_train_ensemble"]
