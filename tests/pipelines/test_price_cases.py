"""Small price files of the kinds that go wrong, taken in from the command line: what is right."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from cloudarb_lib.base import locations
from cloudarb_lib.base.types import OFFER_PARTS
from cloudarb_lib.market import read_market
from cloudarb_lib.store import Snapshot, open_snapshot
from pipelines.cli import main
from pipelines.exit_codes import HELD_BACK

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parent / "price_cases"
CASES = yaml.safe_load((FOLDER / "expected.yaml").read_text())


def test_every_file_belongs_to_a_case() -> None:
    used = set()
    for name, case in CASES.items():
        for entry in case["files"]:
            file = entry[0] if isinstance(entry, list) else entry
            used.add(FOLDER / name.split("/")[0] / file)
    on_disk = {path for path in FOLDER.glob("*/*") if path.name != "as_advised.csv"}
    assert used == on_disk


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that knows the bundled machines and no price."""
    store = tmp_path_factory.mktemp("machines") / "store"
    main(["ingest", "--store", str(store), str(locations.data() / "instances.csv")])
    return store


def take_in(name: str, case: dict[str, Any], store: Path, capsys: Any) -> tuple[int, str]:
    """Ingest the files of a case into a store."""
    capsys.readouterr()
    code = 0
    text = ""
    for entry in case["files"]:
        file, *options = entry if isinstance(entry, list) else [entry]
        path = FOLDER / name.split("/")[0] / file
        try:
            code = main(["ingest", "--store", str(store), *options, str(path)])
        except SystemExit as end:
            code = int(end.code or 0)
        printed = capsys.readouterr()
        text = printed.out + printed.err
    return code, text


def states_on(snapshot: Snapshot, day: object) -> pd.DataFrame:
    """Return the states of all offers at the end of a day, by offer."""
    market = read_market(
        snapshot,
        pd.Timestamp(str(day), tz="UTC") + pd.Timedelta(1, "D"),
        providers=None,
        stale_after_days=14,
        gpu_only=False,
        listed_too=True,  # what else is wrong with a price is asked here
    )
    states = market.states.astype({"offer_id": object})
    return states.set_index("offer_id")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if case.get("bundled") else ())
        for name, case in CASES.items()
    ],
)
def test_a_case_comes_out_right(name: str, machines: Path, tmp_path: Path, capsys: Any) -> None:
    case = CASES[name]
    if case.get("bundled"):
        main(["ingest", "--store", str(tmp_path / "store")])
    else:
        shutil.copytree(machines, tmp_path / "store")
    code, text = take_in(name, case, tmp_path / "store", capsys)
    assert code == case.get("exit_code", HELD_BACK if "held" in case else 0), text
    assert case.get("says", "") in text
    with open_snapshot(tmp_path / "store") as snapshot:
        check_stored(case, snapshot)
        if "prices" in case or "states" in case:
            check_states(case, states_on(snapshot, case["as_of"]))


def check_stored(case: dict[str, Any], snapshot: Snapshot) -> None:
    """Assert what the tables of the store hold."""
    events = snapshot.table("price_events")
    stored = {
        "/".join(row[:-1]): row[-1]
        for row in events[[*OFFER_PARTS, "price_usd_per_hour"]].itertuples(index=False)
    }
    assert len(events) == case.get("events", len(events))
    assert len(snapshot.table("flags")) == case.get("flags", len(snapshot.table("flags")))
    for offer, price in case.get("any_price", {}).items():
        assert stored[offer] == pytest.approx(price, rel=1e-4)
    machines = set(events["instance_type"])
    assert set(case.get("on_record", ())) <= machines
    assert not set(case.get("not_on_record", ())) & machines
    if "held" in case:
        held = snapshot.table("quarantine")
        assert dict(zip(held["line"], held["reason"], strict=True)) == case["held"]


def check_states(case: dict[str, Any], states: pd.DataFrame) -> None:
    """Assert which offers are on sale at which price, and why the others are not."""
    offered = states[states["state"] == "offered"]
    if case.get("bundled"):
        offered = offered[offered["provider"].str.endswith("renter")]
    prices = offered["price_usd_per_hour"].to_dict()
    assert prices == pytest.approx(case.get("prices", {}), rel=1e-5)
    for offer, state in case.get("states", {}).items():
        assert states.loc[offer, "state"] == state
        assert states.loc[offer, "reason"]
    for offer, day in case.get("observed", {}).items():
        assert str(states.loc[offer, "observed_at"])[:10] == str(day)
    if "on_sale" in case:
        assert set(offered.index.str.split("/").str[3]) == {case["on_sale"]}
