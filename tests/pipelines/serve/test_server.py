"""``cloudarb serve`` says that it answers when it does."""

import os
import signal
import socket
import subprocess
import sys

import pytest

pytest.importorskip("fastapi", reason="extra serve is not installed: make platform")

import httpx2

from pipelines import cli


@pytest.fixture
def port():
    """A free port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


@pytest.mark.slow
def test_whoever_asks_once_it_says_so_is_answered(small_folders, port):
    words = ["serve", "--port", str(port), "--store", str(small_folders.store)]
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines.cli", *words],
        env=os.environ | {"CLOUDARB_HOME": str(small_folders.state.parent)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        said = process.stderr.readline()
        answer = httpx2.get(f"http://127.0.0.1:{port}/alive", timeout=30)
    finally:
        process.send_signal(signal.SIGINT)
        _, later = process.communicate(timeout=60)
    assert said == f"answers on http://127.0.0.1:{port}, described at /openapi.json\n"
    assert answer.status_code == 204
    assert process.returncode == 0, later


def test_a_store_that_cannot_be_opened_is_told_and_nothing_answers(
    tmp_path, port, monkeypatch, capsys
):
    monkeypatch.setenv("CLOUDARB_HOME", str(tmp_path))
    (tmp_path / "current").write_text("rubbish")
    assert cli.main(["serve", "--port", str(port), "--store", str(tmp_path)]) == 4
    told = capsys.readouterr().err
    assert "names 'rubbish', which is no snapshot" in told
    assert "answers on" not in told
