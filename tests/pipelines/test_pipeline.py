"""A run, configuration to pages: resumed after a kill, refused twice at once, honest on failure."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from cloudarb_lib.base.digests import digest_files
from cloudarb_lib.base.files import is_locked, locked
from cloudarb_lib.store import open_snapshot
from pipelines.run.pipeline import RunError
from pipelines.run.stages import STAGES
from pipelines.testing import (
    CONFIG,
    PARAMETERS,
    finish,
    manifest,
    notebook,
    project,
    start,
    toy_stage,
    write_tables,
)

pytestmark = pytest.mark.kernel


def statuses(root: Path) -> dict[str, str]:
    return {stage: entry["status"] for stage, entry in manifest(root)["notebooks"].items()}


def wait_for(text: str, process: subprocess.Popen) -> str:
    said = ""
    for line in process.stdout:
        said += line
        if text in line:
            return said
    raise AssertionError(said)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return project(tmp_path_factory.mktemp("toy"))


@pytest.mark.chaos("kill", "run")
def test_a_killed_run_is_taken_up_where_it_stood(root):
    first = start(root)
    wait_for("03_allocate         started", first)
    running = psutil.Process(first.pid)
    at_work = [running, *running.children(recursive=True)]
    for process in at_work:  # it is to be at work still, however long the second one takes
        process.suspend()
    code, said = finish(root)
    assert code == 6
    assert "in use already" in said
    first.kill()
    first.wait()
    for process in at_work[1:]:
        process.resume()
    assert manifest(root)["status"] == "running"
    code, said = finish(root)
    assert code == 0, said
    assert "01_explore_prices" not in said
    assert "02_train_ensemble" not in said
    assert "05_summary          succeeded" in said
    assert set(statuses(root).values()) == {"succeeded"}
    (run_dir,) = (root / "reports").glob("toy-*")
    for name, stage in STAGES.items():
        assert (run_dir / f"{name}.html").exists()
        for table in stage.tables:
            assert (run_dir / "tables" / f"{table}.parquet").read_text() == "3"
    assert not list(run_dir.glob(".work*"))


def test_the_second_time_there_is_nothing_to_do(root):
    before = manifest(root)
    code, said = finish(root)
    assert code == 0
    assert "nothing to do" in said
    assert "started" not in said
    assert manifest(root) == before


def test_the_manifest_tells_what_the_run_rests_on(root):
    told = manifest(root)
    with open_snapshot() as snapshot:
        assert told["snapshot"] == snapshot.digest
        (pin,) = (root / "reports").glob("toy-*/snapshot")
        with open_snapshot(pin) as pinned:
            assert pinned.path.samefile(snapshot.path)
    assert told["git"] is None, "a folder without git"
    assert told["config"] == {"as_of": "2026-04-29", "seed": 3}
    assert told["packages"]["papermill"]
    assert told["seconds"] > 0
    entry = told["notebooks"]["01_explore_prices"]
    assert entry["notebook"] == digest_files([root / "notebooks/01_explore_prices.ipynb"])
    assert json.loads(entry["parameters"]) == told["config"]
    assert (entry["exit_code"], entry["tables"]) == (0, ["offer_states", "offers", "sources"])
    (run_dir,) = (root / "reports").glob("toy-*")
    local = [str(root), sys.prefix, os.path.expanduser("~")]
    for path in run_dir.rglob("*"):
        if path.is_file() and "snapshot" not in path.parts:
            text = path.read_text(errors="replace")
            assert not [name for name in local if name in text], path


def test_notebooks_see_the_tables_of_those_before_them_only(root):
    (run_dir,) = (root / "reports").glob("toy-*")

    def printed(step):
        cells = json.loads((run_dir / "notebooks" / f"{step}.ipynb").read_text())["cells"]
        return "".join(cells[-1]["outputs"][0]["text"])

    assert printed("02_train_ensemble") == "[]\n"
    assert "'offers'" in printed("03_allocate")
    assert "'lookback'" not in printed("05_summary")


SIXTH = "06_carbon"
ONE_MORE_ENTRY = f"""
from pipelines.run.stages import STAGES, Stage
STAGES[{SIXTH!r}] = Stage(title="Carbon", after=("03_allocate",), tables=("carbon",))
"""


def test_a_sixth_notebook_is_one_entry_in_the_registry(root):
    extra = "\ncarbon_usd: float = 80.0"
    path = root / "notebooks" / f"{SIXTH}.ipynb"
    notebook(path, PARAMETERS + extra, write_tables(["carbon"]), "print(carbon_usd)")
    code, said = finish(root, before=ONE_MORE_ENTRY)
    assert code == 0, said
    assert "6 notebooks, into " in said
    assert f"{SIXTH}           succeeded" in said
    assert said.count("succeeded after") == 1, "what is up to date is not run again"
    assert statuses(root)[SIXTH] == "succeeded"
    assert manifest(root)["notebooks"][SIXTH]["tables"] == ["carbon"]
    (run_dir,) = (root / "reports").glob("toy-*")
    assert (run_dir / "tables/carbon.parquet").read_text() == "3"
    printed = json.loads((run_dir / f"notebooks/{SIXTH}.ipynb").read_text())["cells"]
    seen = "".join(printed[-2]["outputs"][0]["text"])
    assert seen == "['assumptions', 'plan']\n", "tables of the stage it runs after, no others"
    assert 'aria-current="page">Carbon</a>' in (run_dir / f"{SIXTH}.html").read_text()
    for page in ("05_summary.html", "run.html"):
        assert f'href="{SIXTH}.html"' in (run_dir / page).read_text()
    assert f"/{SIXTH}.html" in (root / "reports/index.html").read_text()


def test_a_parameter_of_the_sixth_notebook_is_one_of_the_configuration(root):
    text = (root / "toy.yaml").read_text()
    (root / "toy.yaml").write_text(text + "carbon_usd: eighty\n")
    assert "key 'carbon_usd' is not known" in finish(root)[1]
    assert "carbon_usd is 'eighty'" in finish(root, before=ONE_MORE_ENTRY)[1]
    (root / "toy.yaml").write_text(text)


def test_a_failure_is_kept_told_and_mended(root):
    step = "04_risk_and_stress"
    toy_stage(root, step, "raise ValueError('no <b>risk</b>')")
    code, said = finish(root)
    assert code == 10
    assert "no <b>risk</b> (in [4])" in said
    assert "03_allocate" not in said, "what is up to date is not run again"
    assert list(statuses(root).values()) == [*["succeeded"] * 3, "failed", "not run"]
    (run_dir,) = (root / "reports").glob("toy-*")
    assert "no &lt;b&gt;risk" in (run_dir / "failed" / f"{step}.html").read_text()
    assert not (run_dir / "tables/risk.parquet").exists()
    assert not (run_dir / "05_summary.html").exists()
    assert 'class="failed-row"' in (root / "reports/index.html").read_text()

    toy_stage(root, step)
    # so that the signal comes in time, however busy the machine
    toy_stage(root, "05_summary", "import time; time.sleep(60)")
    process = start(root)
    wait_for("05_summary          started", process)
    process.send_signal(signal.SIGINT)
    assert "takes up where it stopped" in process.communicate(timeout=60)[0]
    assert process.returncode == 130
    assert manifest(root)["status"] == "stopped"
    assert not (run_dir / "failed" / f"{step}.ipynb").exists()


def test_a_bad_configuration_starts_nothing(tmp_path):
    root = project(tmp_path)
    with (root / "toy.yaml").open("a") as config:
        config.write("sede: 4\n")
    code, said = finish(root)
    assert code == 2
    assert "toy.yaml, line 6: key 'sede' is not known (did you mean 'seed'?)" in said
    assert not (root / "reports").exists()


def test_a_provider_that_the_store_lacks_is_refused(tmp_path):
    root = project(tmp_path)
    for stage in STAGES:
        notebook(root / f"notebooks/{stage}.ipynb", PARAMETERS + "\nproviders: list = ['gcp']", "1")
    with (root / "toy.yaml").open("a") as config:
        config.write("providers: [gpc]\n")
    code, said = finish(root)
    assert code == 2
    assert "nothing is recorded of provider 'gpc' by 2026-04-29 (did you mean 'gcp'?)" in said


@pytest.mark.parametrize("as_of", ["2014-01-01", "2026-05-05"])
def test_an_as_of_outside_the_record_starts_nothing(tmp_path, as_of):
    root = project(tmp_path)
    (root / "toy.yaml").write_text(CONFIG.replace("2026-04-29", as_of))
    code, said = finish(root)
    assert code == 2
    assert f"no price is known and fresh on {as_of}" in said
    assert not (root / "reports").exists()


def test_a_run_with_other_parameters_has_a_folder_of_its_own(root):
    text = (root / "toy.yaml").read_text()
    (before,) = (root / "reports").glob("toy-*")
    (root / "toy.yaml").write_text(text.replace("seed: 3", "seed: 4"))
    process = start(root)
    wait_for("started", process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    (root / "toy.yaml").write_text(text)
    (other,) = set((root / "reports").glob("toy-*")) - {before}
    assert other.name[: other.name.rindex("-")] == before.name[: before.name.rindex("-")]


def test_the_lock_is_dropped_with_its_holder(tmp_path):
    path = tmp_path / "lock"
    hold = (
        "from pathlib import Path\n"
        "from cloudarb_lib.base.files import is_locked, locked\n"
        "import time\n"
        f"with locked(Path({str(path)!r}), RuntimeError, 'it'):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE, text=True)
    assert not is_locked(path.with_name("of nobody"))
    assert holder.stdout.readline() == "held\n"
    assert is_locked(path)
    with (
        pytest.raises(RunError, match=f"it is in use already, by process {holder.pid}"),
        locked(path, RunError, "it"),
    ):
        pass
    waiting = threading.Timer(0.5, holder.kill)
    waiting.start()
    with locked(path, RunError, "it", wait=True):
        assert holder.wait() == -signal.SIGKILL
    began = time.monotonic()
    assert not is_locked(path)
    with locked(path, RunError, "it"):
        assert path.read_text() == str(os.getpid())
    assert time.monotonic() - began < 5
    with (
        pytest.raises(RunError, match="it cannot be written"),
        locked(path / "lock", RunError, "it"),
    ):
        pass


def test_who_only_asks_for_a_lock_keeps_nobody_from_it(tmp_path):
    path = tmp_path / "lock"
    path.write_text(str(os.getpid()))  # of who held it last, and lives
    with path.open() as asking:
        fcntl.flock(asking, fcntl.LOCK_SH)
        threading.Timer(0.05, fcntl.flock, (asking, fcntl.LOCK_UN)).start()
        with locked(path, RunError, "it"):
            assert is_locked(path)
