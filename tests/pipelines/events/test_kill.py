"""Prices are told of as soon as they are published; a kill in between loses nothing."""

import os
import signal
import subprocess
import sys

import pytest

from cloudarb_lib.base import locations
from cloudarb_lib.base.errors import StoreError
from cloudarb_lib.store.snapshot import current
from cloudarb_lib.testing import PRICE_HEADER, PRICE_ROW, write_text
from pipelines import cli
from pipelines.events import gather
from pipelines.events.ledger import Ledger, ledger_file

pytestmark = pytest.mark.slow

KILLED_BETWEEN = """
import os, signal, sys
from pipelines import cli
from pipelines.events import gather
gather.gather_prices = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
cli.main(sys.argv[1:])
"""


@pytest.fixture
def words(tmp_path, monkeypatch):
    """Have a project of our own; return the words that take a file into its store."""
    monkeypatch.setenv("CLOUDARB_HOME", str(tmp_path))
    file = write_text(tmp_path / "prices.csv", PRICE_HEADER + PRICE_ROW)
    return ["ingest", str(file), "--store", str(locations.store())]


def told():
    with Ledger(ledger_file(locations.reports())) as ledger:
        return [one.subject for _, one in ledger.newest(9)]


def use_events():
    Ledger(ledger_file(locations.reports())).__exit__()


def test_prices_are_told_of_when_the_verb_has_ended(words):
    use_events()
    assert cli.main(words) == 0
    assert told() == ["prices.csv"]


def test_whoever_uses_no_events_gets_no_table(words):
    assert cli.main(words) == 0
    assert not ledger_file(locations.reports()).exists()


def test_of_another_store_nothing_is_told_by_itself(words, tmp_path):
    use_events()
    assert cli.main([*words[:-1], str(tmp_path / "other")]) == 0
    assert told() == []


def test_a_table_that_cannot_be_written_takes_no_prices_back(words, monkeypatch, capsys):
    use_events()

    def broken(*_):
        raise StoreError("the table is locked.", "Wait.")

    monkeypatch.setattr(gather, "gather_prices", broken)
    assert cli.main(words) == 0
    assert "events of these prices follow" in capsys.readouterr().out
    assert current(locations.store()) is not None


def test_a_kill_between_prices_and_their_event_loses_and_doubles_nothing(words, capsys):
    use_events()
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_BETWEEN, *words], env=os.environ, capture_output=True
    )
    assert killed.returncode == -signal.SIGKILL
    assert current(locations.store()) is not None, "the prices were published"
    assert told() == []
    for _ in range(2):
        assert cli.main(["events", "tail", "--store", words[-1]]) == 0
    assert told() == ["prices.csv"]
    assert cli.main(words) == 0, "the same file once more"
    assert told() == ["prices.csv"]
