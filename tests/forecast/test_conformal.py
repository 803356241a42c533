"""Calibration: widths that cover what they say, and adapt to what they missed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudarb_lib.forecast import conformal


def needed(spread, rng, *, origins, series=40, paths=64):
    """Widths that normal outcomes need of normal paths of ``spread``."""
    return np.stack(
        [
            conformal.needed_width(
                rng.normal(0, spread, (series, paths, 1)),
                rng.normal(0, 1, (series, 1)),
                np.ones((series, 1)),
                rng=rng,
            )
            for _ in range(origins)
        ]
    )


@pytest.mark.parametrize("spread", [0.4, 0.7, 1.0, 2.0])
def test_calibration_brings_wrong_widths_to_nominal_coverage(spread):
    """Worlds too narrow or too wide by a known factor; coverage of new outcomes is then right."""
    rng = np.random.default_rng(1)
    groups = np.zeros(40, int)
    counts = conformal.count_widths(needed(spread, rng, origins=300), groups)
    assert counts.sum() == 300 * 40
    maps = conformal.width_maps(counts, np.ones((300, 1)), np.ones((300, 1)))
    pit = np.stack(
        [
            conformal.randomised_pit(
                conformal.calibrate(
                    rng.normal(0, spread, (40, 128, 1)), maps, groups, np.ones((40, 1))
                ),
                rng.normal(0, 1, (40, 1)),
                rng=rng,
            )
            for _ in range(100)
        ]
    )
    for level in (0.8, 0.95):
        assert (abs(2 * pit - 1) <= level).mean() == pytest.approx(level, abs=0.03)


def test_the_width_needed_by_hand():
    paths = np.arange(-50.0, 51.0)[None, :, None].repeat(5, axis=0)
    truth = np.array([[0.0], [40.0], [-50.0], [100.0], [np.nan]])
    width = conformal.needed_width(paths, truth, np.ones((5, 1)), rng=np.random.default_rng(0))
    width = width[:, 0]
    assert 0 <= width[0] < 0.02
    assert 1.44 < width[1] < 1.64  # ranks 90 to 92 of 102: about 80 % lie nearer
    assert np.log(101) - 0.75 < width[2] <= np.log(101)  # the last world: as much as they tell
    assert width[3] == pytest.approx(
        2 * np.log(101)
    )  # twice as far from the median as the last world
    assert np.isnan(width[4])


def test_beyond_the_last_path_a_spike_is_told_in_moves_of_usual_hours():
    """Paths that shrank to a tenth: a move as far beyond them needs a tenth of the widths."""
    paths = np.arange(-50.0, 51.0)[None, :, None]
    one, calm = (
        conformal.needed_width(
            factor * paths,
            np.array([[factor * 50.0 + 50.0]]),
            np.full((1, 1), factor),
            rng=np.random.default_rng(0),
        )[0, 0]
        for factor in (1.0, 0.1)
    )
    assert one == pytest.approx(2 * np.log(101))
    assert calm == pytest.approx(one)


def test_what_no_width_would_hold_is_not_counted():
    still = np.zeros((1, 101, 1))
    moved = np.array([[0.3]])
    width = conformal.needed_width(still, moved, np.ones((1, 1)), rng=np.random.default_rng(0))
    assert np.isnan(width).all()


def test_calibration_keeps_atoms_order_and_median():
    rng = np.random.default_rng(2)
    paths = np.where(rng.random((5, 401, 2)) < 0.6, 0.0, rng.normal(0, 0.1, (5, 401, 2)))
    same = np.broadcast_to(conformal.NATS, (1, 2, len(conformal.NATS)))
    np.testing.assert_allclose(
        np.sort(conformal.calibrate(paths, same, np.zeros(5, int), np.ones((5, 2))), axis=1),
        np.sort(paths, axis=1),
        atol=2e-2,
    )
    out = conformal.calibrate(paths, 2 * same, np.zeros(5, int), np.ones((5, 2)))
    np.testing.assert_allclose(np.median(out, axis=1), np.median(paths, axis=1), atol=2e-3)
    assert out.std() > paths.std()
    assert out.max() > 1.5 * paths.max()  # what is beyond the last world is in proportion
    for s in range(5):
        order = np.argsort(paths[s, :, 0], kind="stable")
        assert (np.diff(out[s, order, 0]) >= 0).all()
    assert set(
        np.unique(
            conformal.calibrate(
                np.zeros((1, 9, 1)), 2 * same[:, :1], np.zeros(1, int), np.ones((1, 1))
            )
        )
    ) == {0.0}


def test_few_windows_leave_widths_near_what_they_are_taken_to_need():
    """Without outcomes the widths of the prior; outcomes that share their time move them less."""
    none = conformal.count_widths(np.full((30, 5, 1), np.nan), np.zeros(5, int))
    asked = np.argmin(abs(conformal.NATS - 1.6))
    weight = np.ones((30, 1))
    width = conformal.width_maps(none, weight, weight)[0, 0, asked]
    assert width == pytest.approx(conformal.NATS[asked], abs=0.05)
    counts = conformal.count_widths(
        np.full((30, 5, 1), 0.5), np.zeros(5, int)
    )  # far narrower would do
    apart, shared = (
        conformal.width_maps(counts, weight, own * weight)[0, 0, asked] for own in (1.0, 0.1)
    )
    assert apart < shared < width


@pytest.mark.slow
@given(
    seed=st.integers(0, 500),
    share=st.floats(0.0, 1.0),
    tail=st.sampled_from(["cauchy", "lognormal"]),
)
def test_beyond_the_widths_told_apart_the_map_runs_on_in_parallel(seed, share, tail):
    """However heavy the tail; the prior alone, or outcomes all beyond, are no exception."""
    rng = np.random.default_rng(seed)
    heavy = abs(rng.standard_cauchy(200)) if tail == "cauchy" else rng.lognormal(1, 3, 200)
    width = np.where(rng.random(200) < share, 20 * heavy, rng.exponential(1.0, 200))
    counts = conformal.count_widths(width[:, None, None], np.zeros(1, int))
    width_map = conformal.width_maps(counts, np.ones((200, 1)), np.ones((200, 1)))[0, 0]
    assert (np.diff(width_map) >= 0).all()
    is_beyond = width_map > conformal.NATS[-2]
    assert is_beyond[-1] or width_map[-1] < conformal.NATS[-2]
    np.testing.assert_allclose(
        np.diff(width_map[is_beyond]), np.diff(conformal.NATS[is_beyond]), atol=1e-9
    )


@pytest.mark.slow
def test_a_tail_that_falls_as_simulated_hangs_on_no_end_of_the_widths(monkeypatch):
    """A fifth of outcomes needs 18 nats more: with twice as long a grid widths are the same."""
    n = 20_000
    probability = (np.arange(n) + 0.5) / n
    needed_nats = -np.log1p(-probability)
    needed_nats[probability > 0.8] += 18.0
    weight = np.ones((n, 1))

    def width_map():
        counts = conformal.count_widths(needed_nats[:, None, None], np.zeros(1, int))
        return conformal.width_maps(counts, weight, weight)[0, 0]

    once = width_map()
    monkeypatch.setattr(conformal, "NATS", np.linspace(0.0, 40.0, 201))
    twice = width_map()
    asked = conformal.NATS <= 6.0  # a path of 400
    assert once[30] > 23
    np.testing.assert_allclose(once[:31], twice[asked], rtol=0.01)


@given(st.integers(0, 500))
def test_the_pit_is_uniform_for_a_fair_simulation_with_an_atom(seed):
    rng = np.random.default_rng(seed)
    draw = np.where(rng.random((400, 65, 1)) < 0.7, 0.0, rng.normal(size=(400, 65, 1)))
    u = conformal.randomised_pit(draw[:, 1:], draw[:, 0], rng=rng)
    assert abs(u.mean() - 0.5) < 0.08
    assert u.min() >= 0
    assert u.max() <= 1


def some_maps(origins=12, groups=2, ahead=3):
    return np.broadcast_to(conformal.NATS, (origins, groups, ahead, len(conformal.NATS))).copy()


def outcomes(inside, origins=12, groups=2, ahead=3):
    """Ten outcomes an origin, all in the middle or all in the outermost bin."""
    counts = np.zeros((origins, groups, ahead, len(conformal.NATS) - 1))
    counts[..., 0 if inside else -1] = 10
    return counts


def test_intervals_widen_after_misses_and_narrow_after_none():
    """At both levels, each by its own misses."""
    weight = np.tri(12, 12, -1)[:, :, None] * np.ones(3)
    missed, held = (
        conformal.adapt(some_maps(), outcomes(inside), weight)[:, 0, 0] for inside in (False, True)
    )
    np.testing.assert_allclose(missed[0], conformal.NATS)  # nothing known yet
    for share, at in ((0.2, 8), (0.05, 15)):
        assert (np.diff(missed[:4, at]) > 0).all()
        assert (np.diff(held[:4, at]) < 0).all()
        grown = np.exp(
            conformal.GAIN * (1 - share) / (share * -np.log(share))
        )  # after one origin of misses
        assert missed[1, at] == pytest.approx(conformal.NATS[at] * grown, rel=0.02)
    assert (np.diff(missed, axis=-1) >= 0).all()
    assert (np.diff(held, axis=-1) >= 0).all()
    assert missed.max() <= np.exp(conformal.MOST_SHIFT) * conformal.NATS[-1]


def test_widths_use_only_outcomes_known_by_then():
    weight = np.tri(12, 12, -3)[:, :, None] * np.ones(3)  # an outcome is known three origins later
    counts = outcomes(True)
    other = counts.copy()
    other[5:] = outcomes(False)[5:]
    one, two = (conformal.adapt(some_maps(), c, weight) for c in (counts, other))
    np.testing.assert_array_equal(one[:8], two[:8])
    assert (two[8:, ..., 8] > one[8:, ..., 8]).all()
