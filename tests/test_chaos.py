"""The table of faults tells what was lost, what could not be tried, and hides nothing."""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import chaos
from cloudarb_lib.testing.http import Reply, ServerThread
from cloudarb_lib.testing.wire import LossyWire

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
TOY = """
import pytest

@pytest.mark.chaos("kill", "store")
@pytest.mark.parametrize("moment", [1, 2])
def test_killed(moment):
    assert moment < 2, "rows were lost"

@pytest.mark.chaos("full disk", "run")
def test_full():
    pytest.skip("no disk is small enough")

@pytest.mark.chaos("stall", "API")
def test_torn(request):
    request.addfinalizer(lambda: 1 / 0)

@pytest.mark.chaos("clock jump", "events")
def test_kept():
    pass

def test_of_something_else():
    raise AssertionError
"""


def try_out(folder, text):
    (folder / "test_toy.py").write_text(text)
    words = [str(folder / "test_toy.py"), "--results", str(folder / "results")]
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.chaos", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_is_lost_or_not_tried_stands_in_the_table(tmp_path):
    check = {"tries": 3, "failures": [{"seed": 2, "said": "rows were lost"}]}
    (tmp_path / "results").mkdir()
    (tmp_path / "results/writer_kills.json").write_text(json.dumps(check))
    done = try_out(tmp_path, TOY)
    assert done.returncode == 1
    rows = done.stdout[done.stdout.index("| fault") :].splitlines()[2:]
    assert rows == [
        "| kill | store | 2 | 1 | test_killed[2] |",
        "| stall | API | 1 | 0 | test_torn |",
        "| full disk | run | 0 | 0 | not tried (1 not tried: no disk is small enough) |",
        "| clock jump | events | 1 | 1 | nothing |",
        "| kill at a random moment | store | 3 | 2 | try 2 |",
        "| kills and faults at random | collect | 0 | 0 |"
        " not tried (1 not tried: make check-long) |",
    ]


def test_where_nothing_is_lost_the_command_succeeds(tmp_path):
    kept = TOY[TOY.index('@pytest.mark.chaos("clock jump') : TOY.index("def test_of_something")]
    assert try_out(tmp_path, f"import pytest\n{kept}").returncode == 0
    assert (tmp_path / "results/chaos.json").exists(), "a folder that was not there"


def test_a_mark_that_names_no_known_fault_is_refused(tmp_path):
    done = try_out(tmp_path, TOY.replace("full disk", "ful disk"))
    assert done.returncode != 0
    assert "name a fault of kill, stall, full disk" in done.stdout + done.stderr


def test_the_page_shows_the_last_results():
    rows = chaos.read(chaos.RESULTS / "chaos.json") + chaos.from_checks(chaos.RESULTS)
    page = (ROOT / "docs" / "platform.md").read_text()
    assert f"{chaos.BEGIN}\n{chaos.table(rows)}\n{chaos.END}" in page, "run make chaos"


def test_a_page_without_a_place_for_the_table_is_refused(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Page\n")
    with pytest.raises(ValueError, match="has no place for the table"):
        chaos.put_into(page, "table")
    assert page.read_text() == "# Page\n"


NO_SUCH_FAULT = {
    ("lossy wire", "store"): "the store is files",
    ("lossy wire", "run"): "its processes talk over sockets in a folder",
    ("Redis or broker killed", "collect"): "it uses neither",
    ("Redis or broker killed", "store"): "it uses neither",
    ("Redis or broker killed", "run"): "it uses neither",
}


def test_each_fault_is_tried_at_each_place():
    cells = {(fault, place) for fault in chaos.FAULTS for place in chaos.PLACES}
    tried = {(row.fault, row.place) for row in chaos.read(chaos.RESULTS / "chaos.json")}
    assert cells - tried == set(NO_SUCH_FAULT)


@pytest.mark.parametrize("kind", ["late", "reset"])
def test_the_wire_is_as_bad_as_asked_and_heals(kind):
    body = b"x" * 500_000
    shares = {"late_share": 0.0, "reset_share": 0.0, f"{kind}_share": 1.0}

    def ask(port):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
        return answer.partition(b"\r\n\r\n")[2]

    with ServerThread(lambda _: Reply(body)) as server:
        port = int(server.url.rpartition(":")[2])
        with LossyWire(port, late_s=0.0001, **shares) as wire:
            if kind == "reset":
                with pytest.raises(ConnectionResetError):
                    ask(wire.port)
                assert (wire.resets, wire.late) == (1, 0)
            else:
                assert ask(wire.port) == body
                assert wire.late > 100
            wire.heal()
            assert ask(wire.port) == body
