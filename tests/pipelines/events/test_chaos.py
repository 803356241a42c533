"""The event table meets a full disk and a clock that jumps: each event is told once, in order."""

import pytest

from cloudarb_lib.base.errors import StoreError
from pipelines.events.deliver import Handled, deliver
from pipelines.events.ledger import Ledger, event

AT = "2026-01-05T00:00:00+00:00"


def collecting(got):
    def handle(told, _):
        got.append(told.subject)
        return Handled()

    return handle


@pytest.mark.chaos("full disk", "events")
def test_a_full_disk_takes_all_of_a_change_or_nothing(small_disk, fill):
    got = []
    with Ledger(small_disk / "events.sqlite") as ledger:
        with ledger.at_once():
            ledger.add([event("prices", "first", AT, {})])
        filler = fill()
        many = [event("prices", f"f{k}", AT, {"text": "x" * 5000}) for k in range(300)]

        def write():
            with ledger.at_once():
                ledger.set_alerts("weekly", [{"rule": "budget"}])
                ledger.add(many)

        with pytest.raises(StoreError, match=r"full.*Make room"):
            write()
        assert [told.subject for _, told in ledger.newest(9)] == ["first"]
        assert ledger.alerts("weekly") == []
        filler.unlink()
        write()
        deliver(ledger, "a", collecting(got))
    assert got == ["first", *(told.subject for told in many)]


@pytest.mark.chaos("clock jump", "events")
def test_events_of_a_clock_that_jumped_back_are_told_all_the_same(tmp_path):
    got = []
    with Ledger(tmp_path / "events.sqlite") as ledger:
        for at in ("2027-01-05", "2025-01-05", "2026-01-05"):
            with ledger.at_once():
                ledger.add([event("prices", at, f"{at}T00:00:00+00:00", {})])
            deliver(ledger, "a", collecting(got))
    assert got == ["2027-01-05", "2025-01-05", "2026-01-05"]
