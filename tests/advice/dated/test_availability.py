"""Recorded availability: read as it is, followed without looking ahead, learned with its doubt."""

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib.advice.dated import traces as record
from cloudarb_lib.advice.dated.chain import Chain, count, estimate, two_states
from cloudarb_lib.advice.dated.following import follow
from cloudarb_lib.advice.dated.replay import sample
from cloudarb_lib.advice.dated.traces import Trace, load_traces, trace_of
from cloudarb_lib.base.errors import DataError, ParameterError


def trace(up, gap_h=0.25):
    up = np.asarray(up, bool)
    up = up.reshape(len(up), -1)
    zones = tuple("abcdef"[: up.shape[1]])
    return Trace("test", "v100_1", zones, gap_h, up)


def test_the_bundled_record_is_what_its_source_says():
    traces = load_traces()
    assert [len(t.zones) for t in traces] == [2, 2, 2, 2, 6, 3]
    assert traces[0].name.startswith("aws-10-26-2022")
    west = traces[4].zone(traces[4].zones.index("us-west-2b"))
    assert west.up.mean() == pytest.approx(0.90, abs=0.005)
    assert trace_of(traces, "v100_1").name == "aws-08-27-2023 v100_1"  # the newest


def test_a_machine_without_a_record_is_told_with_the_nearest():
    with pytest.raises(ParameterError, match=r"'v100_2'.*did you mean 'v100_8'"):
        trace_of(load_traces(), "v100_2")


def changes(**columns):
    shared = {
        "batch": "aws-01-02-2024",
        "zone": "a",
        "machine": "v100_4",
        "nodes_asked": 4,
        "gap_seconds": 900,
        "ticks": 5,
    }
    return pd.DataFrame(shared | {"tick": [0, 2, 3], "available": [4.0, 3.0, 4.0]} | columns)


def test_a_zone_is_up_where_every_node_asked_for_is_to_be_had(tmp_path):
    changes().to_parquet(tmp_path / "probes.parquet")
    (found,) = load_traces(tmp_path / "probes.parquet")
    assert found.up[:, 0].tolist() == [True, True, False, True, True]
    assert found.gap_h == 0.25
    assert found.thinned(2).up[:, 0].tolist() == [True, False]


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (changes().drop(columns="ticks"), "lacks column 'ticks'"),
        (changes(tick=[1, 2, 3]), "no probe at its start"),
    ],
)
def test_a_broken_record_is_refused(table, told, tmp_path):
    table.to_parquet(tmp_path / "probes.parquet")
    with pytest.raises(DataError, match=told):
        load_traces(tmp_path / "probes.parquet")


def test_no_record_is_told(tmp_path):
    with pytest.raises(ParameterError, match="no record of availability"):
        record.load_traces(tmp_path / "probes.parquet")


def test_a_run_keeps_its_zone_while_it_is_up_and_else_goes_to_the_one_longest_up():
    up = [[1, 0, 1], [1, 1, 1], [0, 1, 1], [1, 1, 1], [1, 1, 0], [0, 0, 0], [0, 1, 0]]
    followed = follow(trace(up))
    assert followed.up.tolist() == [True] * 5 + [False, True]
    # zone a until 2, then c (up since 0), then b (up since 1, longer than a)
    assert followed.lost.tolist() == [False, False, True, False, True, True, False]


def test_states_know_nothing_of_what_comes_later():
    rng = np.random.default_rng(3)
    up = rng.random((300, 2)) < 0.6
    whole = follow(trace(up))
    for length in (1, 50, 299):
        part = follow(trace(up[:length]))
        np.testing.assert_array_equal(part.states, whole.states[:length])
        np.testing.assert_array_equal(part.lost, whole.lost[:length])


def recorded(hazard, outage_h, probes, seed=1):
    """Return a trace drawn from a chain of two states, a probe each quarter of an hour."""
    rng = np.random.default_rng(seed)
    drawn = sample([two_states(hazard, outage_h, 0.25)], np.array([1]), probes, rng)
    return trace(drawn.up[0])


def up_share(chain):
    return chain.stationary()[chain.up].sum()


@pytest.mark.slow
def test_the_chain_of_a_long_record_is_up_as_often_as_the_record():
    long = recorded(0.5, 3.0, 40_000)
    counts = count(follow(long))
    assert up_share(estimate(counts, counts, 0.25)) == pytest.approx(long.up.mean(), abs=0.01)
    assert up_share(two_states(0.5, 3.0, 0.25)) == pytest.approx(1 / (1 + 0.5 * 3.0), abs=0.03)


@pytest.mark.slow
def test_a_short_record_is_drawn_towards_its_peers():
    short = count(follow(recorded(2.0, 4.0, 60)))
    peers = count(follow(recorded(0.1, 0.5, 20_000, seed=2)))
    alone = up_share(estimate(short, short, 0.25))
    both = up_share(estimate(short, short + peers, 0.25))
    assert alone < both < up_share(estimate(peers, peers, 0.25))


@pytest.mark.slow
def test_drawn_chains_lie_around_the_likeliest_and_closer_the_longer_the_record():
    rng = np.random.default_rng(5)
    spread = []
    for probes in (500, 20_000):
        counts = count(follow(recorded(0.5, 3.0, probes)))
        shares = [up_share(estimate(counts, counts, 0.25, rng)) for _ in range(40)]
        middle = up_share(estimate(counts, counts, 0.25))
        assert min(shares) < middle < max(shares)
        spread.append(np.std(shares))
    assert spread[1] < spread[0] / 2


@pytest.mark.parametrize(("up", "told"), [(True, "always"), (False, "never")])
def test_a_record_without_any_change_teaches_nothing(up, told):
    counts = count(follow(trace(np.full(100, up))))
    with pytest.raises(DataError, match=f"could {told} be had"):
        estimate(counts, counts, 0.25)


@pytest.mark.parametrize(("hazard", "outage_h"), [(-1.0, 1.0), (0.1, 0.0), (float("nan"), 1.0)])
def test_a_hazard_that_is_none_is_refused(hazard, outage_h):
    with pytest.raises(ParameterError, match="is none"):
        two_states(hazard, outage_h, 0.25)


def test_a_chain_whose_chances_do_not_add_up_is_refused():
    half = np.full((2, 2), 0.1)
    with pytest.raises(DataError, match="do not add up"):
        Chain(1.0, np.array([True, False]), half, half, np.arange(0))
