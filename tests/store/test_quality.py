"""Which prices of a list are errors, and from when on that is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudarb_lib.store import open_snapshot, quality
from cloudarb_lib.testing import PRICE_HEADER, ingest, write_text

pytestmark = pytest.mark.slow


def hours(*pairs: tuple[float, float], offer: int = 0) -> pd.DataFrame:
    """(day, price) pairs of one offer as rows for ``quality.judge``."""
    day = int(86_400e6)
    return pd.DataFrame(
        {
            "offer": offer,
            "effective": [int(d * day) for d, _ in pairs],
            "observed": [int(d * day) for d, _ in pairs],
            "price": [float(p) for _, p in pairs],
        }
    )


PARTS = [
    "provider",
    "region",
    "instance_type",
    "gpu_model",
    "purchase_option",
    "term",
    "gpu_count",
    "vcpus",
]


NO_GPUS = pd.DataFrame(columns=PARTS)


@pytest.mark.parametrize(
    ("pairs", "flagged"),
    [
        ([(0, 10), (1, 2), (2, 10)], {1: 2}),  # down and back
        ([(0, 10), (1, 16), (2, 10.5)], {1: 2}),  # up and back, nearly
        ([(0, 10), (1, 5.1), (2, 10)], {}),  # not by more than half
        ([(0, 10), (1, 2), (4.1, 10)], {}),  # back too late
        ([(0, 10), (1, 2), (2, 8.9)], {}),  # back not near enough
        ([(0, 10), (1, 2), (1.5, 3), (2, 10)], {1: 2, 2: 2}),  # in several steps
        ([(0, 10), (1, 2), (2, 10), (2.5, 2), (3, 10)], {1: 2, 3: 3}),  # the good one between stays
        ([(0, 10), (1, float("nan")), (2, 10)], {}),  # withdrawn is no jump
        ([(0, 10), (1, 2), (1.5, float("nan")), (2, 10)], {1: 2}),
        ([(0, 2), (1, 10), (2, 10.1)], {}),  # a step stays
    ],
)
def test_a_jump_that_reverts_is_flagged_from_its_return_on(pairs, flagged) -> None:
    codes, flagged_at = quality.judge(hours(*pairs), NO_GPUS)
    assert {
        int(i): flagged_at[i] / 86_400e6 for i in np.flatnonzero(codes == quality.REVERTED)
    } == flagged


def gpu_fleet(
    prices: list[float], option: str = "on_demand", vcpus: float = 8.0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows = pd.concat([hours((0, p), offer=i) for i, p in enumerate(prices)], ignore_index=True)
    gpus = pd.DataFrame(
        {
            "provider": "gcp",
            "region": [f"r{i // 2}" for i in range(len(prices))],
            "instance_type": [f"m{i % 2}" for i in range(len(prices))],
            "gpu_model": "H100",
            "purchase_option": option,
            "term": "",
            "gpu_count": 1.0,
            "vcpus": vcpus,
        }
    )
    return rows, gpus


def test_a_machine_under_half_of_its_model_is_flagged() -> None:
    rows, gpus = gpu_fleet([10, 10, 10, 4.9])
    codes, flagged_at = quality.judge(rows, gpus)
    assert codes.tolist() == [0, 0, 0, quality.LOW_FOR_GPU]
    assert flagged_at[3] == rows["observed"][3]
    assert not quality.judge(*gpu_fleet([10, 10, 10, 5.1]))[0].any()
    assert not quality.judge(*gpu_fleet([10, 10, 4.9]))[0].any()  # too few to judge
    other = gpus.assign(vcpus=[8.0, 8.0, 8.0, 2.0])
    assert not quality.judge(rows, other)[0].any()  # fewer vCPUs: rightly cheaper
    assert quality.judge(rows, gpus.assign(vcpus=[8.0, 8.0, 8.0, 4.0]))[0].any()  # not by so much


SIZES = [[1, 1, 1, 1], [1, 2, 4, 8], [8, 1, 1, 1, 1], [1, 8, 8, 8, 8, 8], [4, 1, 2, 8, 8]]


@pytest.mark.parametrize("counts", SIZES)
@pytest.mark.parametrize("vcpus", ["in step", "alike", "unknown", "doubling"])
def test_the_cheap_one_of_a_handful_is_flagged_whatever_its_size(
    tmp_path: Path, counts, vcpus
) -> None:
    """The first of a few machines of one model is listed at 40 % of what the others ask per GPU."""
    of = {
        "in step": lambda i, n: 12 * n,
        "alike": lambda i, n: 8,
        "unknown": lambda i, n: "",
        "doubling": lambda i, n: 64 / 2**i,
    }[vcpus]
    machines = "provider,instance_type,vcpus,memory_gib,gpu_model,gpu_count,gpu_memory_gib\n"
    prices = PRICE_HEADER
    for i, n in enumerate(counts):
        machines += f"aws,m{i},{of(i, n)},64,H100,{n},80\n"
        price = n * (4 if i == 0 else 10 + i / 10)
        prices += f"aws,us-east-1,m{i},on_demand,2026-01-05T00:00:00Z,{price}\n"
    ingest(
        tmp_path / "s",
        write_text(tmp_path / "i.csv", machines),
        write_text(tmp_path / "p.csv", prices),
    )
    with open_snapshot(tmp_path / "s") as snapshot:
        shown = snapshot.events(as_of="2026-02-01", include_flagged=True)
        kept = snapshot.events(as_of="2026-02-01")
    assert shown["quality"].tolist() == ["glitch_low_for_gpu"] + ["ok"] * (len(counts) - 1)
    assert kept["price_usd_per_hour"].isna().tolist() == [True] + [False] * (len(counts) - 1)
    assert shown["price_usd_per_hour"].notna().all()


def test_a_spot_region_that_falls_as_a_whole_is_a_move() -> None:
    assert not quality.judge(*gpu_fleet([10, 10, 10, 10, 10, 10, 4, 4], option="spot"))[0].any()
    alone = quality.judge(*gpu_fleet([10, 10, 10, 10, 10, 10, 10, 4], option="spot"))[0]
    assert np.flatnonzero(alone).tolist() == [7]
    listed = quality.judge(*gpu_fleet([10, 10, 10, 10, 10, 10, 4, 4], option="on_demand"))[0]
    assert np.flatnonzero(listed).tolist() == [6, 7]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 5),
            st.integers(0, 12),
            st.sampled_from([0, 0, 0, 2]),
            st.sampled_from([1.0, 4, 5, 9, 10, 20]),
        ),
        min_size=1,
        max_size=30,
        unique_by=lambda r: r[:3],
    ),
    st.integers(0, 14),
    st.sampled_from(["spot", "on_demand"]),
)
def test_flags_never_change_with_what_comes_later(raw, cut, option) -> None:
    rows = pd.concat([hours((e / 2, p), offer=o) for o, e, _, p in raw], ignore_index=True)
    rows["observed"] += np.array([lag for *_, lag, _ in raw]) * int(43_200e6)
    _, gpus = gpu_fleet([1.0] * 6, option)
    codes, flagged_at = quality.judge(rows, gpus)
    now = cut * int(43_200e6)
    early = rows["observed"] <= now
    then_codes, then_flagged_at = quality.judge(rows[early].reset_index(drop=True), gpus)
    was_known = (flagged_at[early] >= 0) & (flagged_at[early] <= now)
    assert then_codes.tolist() == np.where(was_known, codes[early], 0).tolist()
    assert then_flagged_at.tolist() == np.where(was_known, flagged_at[early], -1).tolist()


def test_market_prices_are_never_flagged(tmp_path: Path) -> None:
    spikes = "".join(
        f"aws,r,m,spot,2026-01-0{d}T00:00:00Z,{p}\n" for d, p in ((1, 1), (2, 80), (3, 1))
    )
    market, listed = (
        write_text(tmp_path / f"{name}.csv", PRICE_HEADER + spikes.replace("aws", provider))
        for name, provider in (("p", "aws"), ("q", "gcp"))
    )
    report = ingest(tmp_path / "s", market, listed)
    assert dict(report.flagged) == {"q": 1}
    assert "flagged as errors of a list: q 1" in str(report)
    assert not ingest(tmp_path / "s", market).flagged, (
        "what another file brought is not counted again"
    )
    with open_snapshot(tmp_path / "s") as snapshot:
        events = snapshot.events(as_of="2026-02-01", include_flagged=True)
    assert events["provider"].tolist() == ["aws"] * 3 + ["gcp"] * 3
    assert events["quality"].tolist() == ["ok"] * 4 + ["glitch_reverted", "ok"]
