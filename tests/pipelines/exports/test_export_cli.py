"""``cloudarb export``: each shape becomes a file, and what is missing is asked for."""

import pandas as pd
import pytest

from pipelines import cli
from pipelines.exports import gpuhunt, skypilot
from pipelines.serve import testing

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return testing.folders_in(tmp_path_factory.mktemp("exported"))


@pytest.mark.parametrize(
    ("shape", "columns"),
    [("skypilot-catalog", skypilot.CATALOGUE_COLUMNS), ("gpuhunt-catalog", gpuhunt.COLUMNS)],
)
def test_a_catalogue_is_of_a_provider_and_a_day(shape, columns, folders, tmp_path, capsys):
    out = tmp_path / "out.csv"
    words = ["export", shape, "--out", str(out), "--store", str(folders.store)]
    assert cli.main(words) == 2
    assert "Add --provider NAME --as-of DAY" in capsys.readouterr().err
    assert cli.main([*words, "--provider", "aws", "--as-of", testing.AS_OF]) == 0
    assert tuple(pd.read_csv(out).columns) == columns
    assert str(out) in capsys.readouterr().out


@pytest.mark.parametrize("place", ["", "file/out.csv"])
def test_where_nothing_can_be_written_is_told(place, folders, tmp_path, capsys):
    (tmp_path / "file").touch()
    out = tmp_path / place
    words = ["export", "focus-forecast", "--run", str(folders.reports / testing.RUN)]
    assert cli.main([*words, "--out", str(out)]) == 2
    assert "Way out: Name a file or folder that you may read and write." in capsys.readouterr().err


def test_google_cloud_is_listed_by_the_zones_where_it_is_sold(folders, tmp_path):
    out = tmp_path / "gcp.csv"
    given = ["--store", str(folders.store), "--provider", "gcp", "--as-of", testing.AS_OF]
    assert cli.main(["export", "gpuhunt-catalog", "--out", str(out), *given]) == 0
    spot = pd.read_csv(out).query("spot and instance_name == 'a3-highgpu-8g'")
    assert spot["location"].tolist() == ["us-east4-a", "us-east4-c"]
    assert spot["price"].tolist() == [24.0, 24.0]


@pytest.mark.parametrize(
    "shape", ["focus-plan", "focus-forecast", "launches", "skypilot-tasks", "dstack-fleets"]
)
def test_the_others_are_of_a_run(shape, folders, tmp_path, capsys):
    out = tmp_path / "out"
    words = ["export", shape, "--out", str(out)]
    assert cli.main(words) == 2
    assert "Add --run reports/RUN" in capsys.readouterr().err
    assert cli.main([*words, "--run", str(tmp_path)]) == 3
    assert "has no table" in capsys.readouterr().err
    assert cli.main([*words, "--run", str(folders.reports / testing.RUN)]) == 0
    files = {"skypilot-tasks": ["train-1.yaml"], "dstack-fleets": ["train-1.dstack.yml"]}
    if shape in files:
        assert [path.name for path in out.iterdir()] == files[shape]
    else:
        assert len(pd.read_csv(out)) == {"focus-forecast": 2}.get(shape, 1)


def test_a_plan_of_a_run_that_did_not_succeed_is_no_advice(folders, tmp_path, capsys):
    run = testing.write_run(tmp_path)
    (run / "manifest.json").write_text("{}")
    words = ["export", "focus-plan", "--out", str(tmp_path / "x"), "--run", str(run)]
    assert cli.main(words) == 3
    assert "no run that succeeded" in capsys.readouterr().err
