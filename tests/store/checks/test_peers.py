"""A price per GPU-hour beside what the same provider, and what everyone else, asks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cloudarb_lib.store import open_snapshot
from cloudarb_lib.store.checks.judge import judge
from cloudarb_lib.store.checks.peers import LOW_FOR_GPU, LOW_FOR_MARKET, PRICE_OF_ONE_GPU
from cloudarb_lib.store.checks.prices import quantiles
from cloudarb_lib.testing import PRICE_HEADER, found_wrong, ingest, quotes, write_text


def fleet(prices: list[float], option: str = "on_demand", vcpus=None):
    """Two machines of one GPU in each of some regions."""
    rows = [(f"gcp/r{i // 2}//m{i % 2}/{option}/", 1, 0, p) for i, p in enumerate(prices)]
    return quotes(*rows, vcpus=vcpus)


def asked(*prices: float, option="on_demand", gpus=1, day=0.0, model_of="other"):
    """An offer each of some providers."""
    return [
        (f"{model_of}{i}/r//m/{option}/{'1y' if option == 'reserved' else ''}", gpus, day, p)
        for i, p in enumerate(prices)
    ]


def places(frames, kind: str) -> list[int]:
    found = judge(*frames)
    return sorted(found.loc[found["quality"] == kind, "row"])


def test_a_machine_under_half_of_its_model_is_flagged_when_it_is_seen() -> None:
    assert found_wrong(*fleet([10, 10, 10, 4.9]), LOW_FOR_GPU) == {("gcp/r1//m1/on_demand/", 0): 0}
    assert not places(fleet([10, 10, 10, 5.1]), LOW_FOR_GPU)
    assert not places(fleet([10, 10, 4.9]), LOW_FOR_GPU)  # too few to judge


def test_a_small_machine_is_rightly_cheaper() -> None:
    rows = [(f"gcp/r//m{i}/on_demand/", 1, 0, p) for i, p in enumerate([10, 10, 10, 4.9])]
    assert not places(quotes(*rows, vcpus={"m3": 2.0}), LOW_FOR_GPU)
    assert places(quotes(*rows, vcpus={"m3": 4.0}), LOW_FOR_GPU)  # not by so much


def test_a_spot_region_that_falls_as_a_whole_is_a_move() -> None:
    assert not places(fleet([10, 10, 10, 10, 10, 10, 4, 4], "spot"), LOW_FOR_GPU)
    assert places(fleet([10, 10, 10, 10, 10, 10, 10, 4], "spot"), LOW_FOR_GPU) == [7]
    assert places(fleet([10, 10, 10, 10, 10, 10, 4, 4]), LOW_FOR_GPU) == [6, 7]


SIZES = [[1, 1, 1, 1], [1, 2, 4, 8], [8, 1, 1, 1, 1], [1, 8, 8, 8, 8, 8], [4, 1, 2, 8, 8]]


@pytest.mark.slow
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
    offered = kept[kept["price_usd_per_hour"].notna()]
    assert offered["instance_type"].tolist() == [f"m{i}" for i in range(1, len(counts))]


# Beside everyone else


@pytest.mark.parametrize("markets", [(), ("small",)])
@pytest.mark.parametrize(
    ("others", "price", "is_held"),
    [
        ([1.9, 2.5, 3.0, 4.1], 0.49, True),  # under a fifth of what a third of them ask less than
        ([1.9, 2.5, 3.0, 4.1], 0.51, False),
        ([2.1, 2.7, 6.9, 13.4, 16.0], 1.0, False),  # renters, beside large clouds
        ([7.0, 12.0, 13.0], 0.98, False),
        ([7.0, 12.0, 13.0], 0.5, True),
        ([7.0], 0.36, False),
        ([7.0], 0.34, True),
        ([], 0.0001, False),  # nobody to compare with
        ([0.01, 2.5, 3.0, 4.1], 0.01, True),  # another one that is wrong does not help
        ([0.01, 0.01, 2.5, 3.0, 4.1], 0.01, True),
    ],
)
def test_a_price_far_under_what_others_ask_is_held(others, price, is_held, markets) -> None:
    small = "small/us//h100/on_demand/"
    frames = quotes(*asked(*others), (small, 8, 0, 8 * price), markets=markets)
    assert ((small, 0) in found_wrong(*frames, LOW_FOR_MARKET)) == is_held


def test_the_sentence_says_what_is_asked_elsewhere() -> None:
    frames = quotes(*asked(1.9, 2.5, 3.0, 4.1), ("small/us//h100/on_demand/", 8, 0, 0.08))
    assert judge(*frames)["detail"].tolist() == [
        "0.01 USD per GPU-hour; 4 peers ask 1.90 to 4.10 for H100 on demand: held until somebody"
        " confirms it."
    ]


def test_one_price_among_few_of_its_own_provider_is_held_but_no_spike_of_a_market() -> None:
    rows = [(f"big/us-{i}//b200x8/on_demand/", 8, 0, p) for i, p in enumerate([53.5, 55.9, 0.08])]
    assert places(quotes(*rows), LOW_FOR_MARKET) == [2]
    assert not places(quotes(*rows, markets=["big"]), LOW_FOR_MARKET)


def test_spot_is_judged_by_spot_and_without_it_by_a_share_of_on_demand() -> None:
    cheap = "small/us//h100/spot/"
    by_spot = quotes(*asked(2, 2, 2, 2, option="spot"), (cheap, 1, 0, 0.39))
    assert places(by_spot, LOW_FOR_MARKET) == [4]
    by_list = quotes(*asked(2, 2, 2, 2), (cheap, 1, 0, 0.13))
    assert not places(by_list, LOW_FOR_MARKET)
    by_list = quotes(*asked(2, 2, 2, 2), (cheap, 1, 0, 0.11))
    assert places(by_list, LOW_FOR_MARKET) == [4]


def test_only_what_was_known_when_the_price_was_seen_judges_it() -> None:
    small = ("small/us//h100/on_demand/", 1, 0, 0.1)
    later = quotes(small, *asked(3, 3, 3, 3, day=1))
    assert not places(later, LOW_FOR_MARKET)
    again = quotes(small, *asked(3, 3, 3, 3, day=1), ("small/us//h100/on_demand/", 1, 2, 0.1))
    assert places(again, LOW_FOR_MARKET) == [5]


def test_a_withdrawn_offer_asks_nothing() -> None:
    gone = [(offer, gpus, 1, float("nan")) for offer, gpus, _, _ in asked(3, 3, 3, 3)]
    frames = quotes(*asked(3, 3, 3, 3), *gone, ("small/us//h100/on_demand/", 1, 2, 0.01))
    assert not places(frames, LOW_FOR_MARKET)


@pytest.mark.parametrize("share", [0.5, 1 / 3])
def test_quantiles_are_those_of_numpy(share) -> None:
    values = np.array([[1, 2, 3, 4], [5, np.nan, 1, np.nan], [np.nan] * 4, [7, 1, 3, np.nan]])
    found, count = quantiles(values, share)
    lines = [0, 1, 3]
    assert found[lines] == pytest.approx(np.nanquantile(values[lines], share, axis=1))
    assert np.isnan(found[2])
    assert count.tolist() == [4, 2, 0, 3]
    assert np.isnan(quantiles(values[:, :0], share)[0]).all()


def test_a_large_machine_at_the_price_of_one_gpu_is_held_though_its_renter_is_dear() -> None:
    peers = asked(1.9, 2.2, 2.5, 3.0, 7.0)
    machine = ("dear/r//p8/on_demand/", 8, 1, 6.9)  # 55 rightly, 0.86 per GPU as it stands
    assert found_wrong(*quotes(*peers, machine), LOW_FOR_MARKET) == {}
    frames = quotes(*peers, machine)
    assert found_wrong(*frames, PRICE_OF_ONE_GPU) == {("dear/r//p8/on_demand/", 1): 1}
    (detail,) = judge(*frames)["detail"]
    assert detail.startswith("6.90 USD/h for 8 GPUs is what 5 peers ask for one (1.90 to 7.00 for")


@pytest.mark.parametrize(
    ("gpus", "price", "dearest"),
    [
        (4, 4.4, 7.0),  # 1.1 per GPU: cheap, but over half of the least
        (8, 5.0, 3.0),  # nobody asks so much for one
        (8, 1.2, 7.0),  # nor so little
        (2, 1.8, 7.0),  # half of what others ask is no rare price
        (1, 0.9, 7.0),
    ],
)
def test_what_is_no_price_of_one_gpu_is_left(gpus: int, price: float, dearest: float) -> None:
    peers = asked(1.9, 2.2, 2.5, dearest)
    assert not places(quotes(*peers, ("a/r//m/on_demand/", gpus, 1, price)), PRICE_OF_ONE_GPU)


def test_one_peer_or_peers_by_another_option_do_not_tell_a_price_of_one_gpu() -> None:
    machine = ("a/r//m/spot/", 8, 1, 3.0)
    assert not places(quotes(*asked(3.0, option="spot"), machine), PRICE_OF_ONE_GPU)
    assert not places(quotes(*asked(8.0, 9.0, 10.0), machine), PRICE_OF_ONE_GPU)
    assert places(quotes(*asked(2.5, 3.0, option="spot"), machine), PRICE_OF_ONE_GPU)


def test_peers_that_come_later_judge_no_earlier_machine() -> None:
    later = asked(1.9, 2.2, 2.5, day=5.0)
    assert not places(quotes(*later, ("a/r//m/on_demand/", 8, 1, 2.0)), PRICE_OF_ONE_GPU)
