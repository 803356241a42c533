"""The same configuration, week after week: the newest day on record, and values set for one run."""

import json

import pytest

from cloudarb_lib.store import open_snapshot
from pipelines.testing import CONFIG, project, quick_runs

pytestmark = pytest.mark.slow


@pytest.fixture
def root(tmp_path):
    return project(tmp_path)


def manifests(root):
    found = [json.loads(path.read_text()) for path in (root / "reports").glob("*/manifest.json")]
    return {manifest["run_id"]: manifest for manifest in found}


def test_the_latest_day_on_record_is_told_and_used(root, capsys):
    with open_snapshot() as snapshot:
        looks = snapshot.looks(as_of="2100-01-01")["looked_at"]
    day = f"{looks.max():%Y-%m-%d}"
    (root / "toy.yaml").write_text(CONFIG.replace("2026-04-29", "latest"))
    with quick_runs(root) as run:
        assert run() == 0
    said = capsys.readouterr().out
    assert f"as of {day}, the newest observation on record, snapshot" in said
    ((run_id, told),) = manifests(root).items()
    assert run_id.startswith(f"toy-{day}-")
    assert told["config"] == {"as_of": day, "seed": 3}
    assert (told["as_of"], told["as_of_asked"]) == (day, "latest")


def test_a_value_set_for_one_run_does_not_replace_the_report(root, capsys):
    with quick_runs(root) as run:
        assert run() == 0
        assert run("--set", "seed=8", "--set", "budget_usd=2") == 0
        assert run("--set", "sede=8") == 2
    assert "--set sede: key 'sede' is not known (did you mean 'seed'?)" in capsys.readouterr().err
    configs = [told["config"] for told in manifests(root).values()]
    assert {"as_of": "2026-04-29", "seed": 3} in configs
    assert {"as_of": "2026-04-29", "seed": 8, "budget_usd": 2.0} in configs
