"""Events stand once, in order; what leads to others is written with them, or not at all."""

import pandas as pd
import pytest

from cloudarb_lib.base.errors import DataError, ParameterError, StoreError
from cloudarb_lib.live.messages import DeliveryError
from cloudarb_lib.store import ingest_files, open_snapshot
from cloudarb_lib.testing import PRICE_HEADER, PRICE_ROW, write_text
from pipelines import cli
from pipelines.events.deliver import Handled, deliver
from pipelines.events.gather import gather_prices, gather_runs
from pipelines.events.ledger import Ledger, event, ledger_file
from pipelines.testing import past_run

AT = "2026-01-05T00:00:00+00:00"
NOW = pd.Timestamp("2026-01-06T00:00Z")


@pytest.fixture
def ledger(tmp_path):
    with Ledger(ledger_file(tmp_path)) as opened:
        yield opened


def three(ledger):
    events = [event("prices", f"f{k}", AT, {"rows_new": k}) for k in range(3)]
    with ledger.at_once():
        ledger.add(events)
    return events


def test_the_same_happening_is_one_event(ledger):
    events = three(ledger)
    with ledger.at_once():
        assert ledger.add([*events, event("prices", "f0", AT, {"rows_new": 9})]) == 1
    assert [told.subject for _, told in ledger.newest(9)] == ["f0", "f1", "f2", "f0"]


def test_events_are_written_with_what_they_tell_or_not_at_all(ledger):
    def fail_half_way():
        with ledger.at_once():
            ledger.add([event("alert", "budget", AT, {})])
            ledger.set_alerts("weekly", [{"rule": "budget"}])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert ledger.newest(9) == []
    assert ledger.alerts("weekly") == []


@pytest.mark.chaos("kill", "events")
def test_what_an_event_leads_to_is_written_with_how_far_the_consumer_is(ledger, monkeypatch):
    three(ledger)
    so_far = []

    def handle(told, memory):
        so_far.append(told.subject)
        led_to = event("alert", f"after {told.subject}", AT, {})
        return Handled([led_to], {"seen": memory.get("seen", 0) + 1})

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(ledger, "move", killed)
        with pytest.raises(KeyboardInterrupt):
            deliver(ledger, "a", handle)
    assert len(ledger.newest(9)) == 3, "the alert went with the note of where we are"
    deliver(
        ledger,
        "a",
        lambda told, memory: handle(told, memory) if told.kind == "prices" else Handled(),
    )
    assert so_far == ["f0", "f0", "f1", "f2"], "the first one again, none lost"
    assert ledger.position("a")[1] == {"seen": 3}
    assert [told.subject for _, told in ledger.newest(3)] == ["after f0", "after f1", "after f2"]


def test_what_cannot_be_handled_is_put_aside_and_handled_again(ledger, capsys, tmp_path):
    three(ledger)
    got = []

    def handle(told, _):
        if told.subject == "f1" and not got.count("f2"):
            raise DataError("f1 is odd.", "Mend it.")
        got.append(told.subject)
        return Handled()

    done = deliver(ledger, "a", handle)
    assert (done.handled, done.buried) == (2, 1)
    (letter,) = ledger.dead_letters("a")
    assert (letter.event.subject, letter.why, letter.tries) == (
        "f1",
        "f1 is odd. Way out: Mend it.",
        1,
    )
    assert deliver(ledger, "a", handle).handled == 0, "not by itself"
    assert cli.main(["events", "replay", "a", "--reports", str(tmp_path)]) == 0
    assert "a is given 1 events again" in capsys.readouterr().out
    assert deliver(ledger, "a", handle).handled == 1
    assert ledger.dead_letters() == []
    assert got == ["f0", "f2", "f1"]
    assert ledger.replay("a", after=1) == 2
    deliver(ledger, "a", handle)
    assert got[3:] == ["f1", "f2"]


def test_a_consumer_that_cannot_be_reached_stops_and_loses_nothing(ledger):
    three(ledger)
    is_up = []

    def handle(told, _):
        if told.subject == "f1" and not is_up:
            raise DeliveryError("down.")
        return Handled()

    with pytest.raises(DeliveryError):
        deliver(ledger, "a", handle)
    is_up.append(True)
    assert deliver(ledger, "a", handle).handled == 2
    assert ledger.dead_letters() == []


def test_mistakes_are_named(ledger, tmp_path, capsys):
    with pytest.raises(ParameterError, match="no consumer 'b'"):
        ledger.replay("b", None)
    assert cli.main(["events", "tail", "--kind", "price", "--reports", str(tmp_path)]) == 2
    assert "did you mean 'prices'" in capsys.readouterr().err
    (tmp_path / "broken").write_text("no database, by far: " * 100)
    with pytest.raises(StoreError, match="cannot be opened"):
        Ledger(tmp_path / "broken")


@pytest.mark.slow
def test_prices_and_runs_become_events_once(ledger, tmp_path, capsys):
    file = write_text(tmp_path / "prices.csv", PRICE_HEADER + PRICE_ROW)
    store = tmp_path / "store"
    ingest_files([file], store_dir=store, now=NOW)
    ingest_files([file], store_dir=store, now=NOW + pd.Timedelta(hours=1))
    plan = pd.DataFrame({"offer_id": ["a", "b"], "expected_cost_usd": [2.0, 3.0]})
    alarm = pd.DataFrame({"series_group": ["gcp/spot/H100"], "detector": ["ks"]})
    past_run(tmp_path, "weekly-1", AT, {"plan": plan, "alarms": alarm})
    past_run(tmp_path, "weekly-2", AT, {"plan": plan}, status="failed")
    words = ["events", "tail", "--store", str(store), "--reports", str(tmp_path)]
    assert cli.main(words) == 0
    told = [told for _, told in ledger.newest(9)]
    assert [(one.kind, one.subject) for one in told] == [
        ("prices", "prices.csv"),
        ("alarm", "gcp/spot/H100"),
        ("plan", "weekly-1"),
    ]
    assert told[0].body["rows_new"] == 1, "the second time the file brought nothing"
    assert told[2].body["expected_cost_usd"] == 5.0
    with open_snapshot(store) as snapshot:
        assert gather_prices(ledger, snapshot) == 0
    assert gather_runs(ledger, tmp_path) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[2].startswith("     3  2026-01-05 00:00:00  plan    weekly-1  {")


def test_what_runs_tell_outlives_them(ledger, tmp_path):
    for number in (1, 2):
        plan = pd.DataFrame({"expected_cost_usd": [1.0]})
        past_run(tmp_path, f"weekly-{number}", f"2026-01-0{number}T00:00:00+00:00", {"plan": plan})
    assert cli.main(["prune", "--keep", "1", "--reports", str(tmp_path)]) == 0
    assert not (tmp_path / "weekly-1").exists()
    assert ledger.subjects("plan") == {"weekly-1", "weekly-2"}
