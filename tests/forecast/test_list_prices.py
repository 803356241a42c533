"""Price lists: reviews, who takes part, which way and how far; joint paths, and calibration."""

from dataclasses import replace

import numpy as np
import pytest

from cloudarb_lib.forecast.lists import clock, rolling, sizes, timing
from cloudarb_lib.forecast.lists.book import price_lists
from cloudarb_lib.forecast.lists.concordance import concordances
from cloudarb_lib.forecast.lists.outcomes import OutcomeWeights
from cloudarb_lib.forecast.lists.rates import ReviewCounts, draw_rates
from cloudarb_lib.forecast.lists.rolling import rolling_lists, with_mean
from cloudarb_lib.forecast.lists.simulator import ListSimulator
from cloudarb_lib.forecast.patterns import find_patterns
from cloudarb_lib.testing import a_panel, forecast_of

pytestmark = pytest.mark.slow


def reviewed(same_way=0.5, joins=0.8, cells=160, every=4, places=24, seed=0, size=0.06):
    """Prices of two models that are reviewed every few cells, in places of their own.

    A place takes part by chance, and goes the way it last went with the chance ``same_way``.
    """
    rng = np.random.default_rng(seed)
    way = rng.choice([-1.0, 1.0], places)
    log_price = np.zeros((cells, places))
    for cell in range(1, cells):
        log_price[cell] = log_price[cell - 1]
        if cell % every == 0:
            moves = rng.random(places) < joins
            way = np.where(moves & (rng.random(places) >= same_way), -way, way)
            log_price[cell] += np.where(moves, way * size * rng.uniform(0.8, 1.2, places), 0.0)
    return np.exp(log_price) * np.linspace(1, 9, places)


def the_list(price, **offers):
    (found,) = price_lists(find_patterns(a_panel(price, **offers)))
    return found


def two_models(price, **offers):
    return the_list(price, models=["H100", "L4"] * (price.shape[1] // 2), **offers)


def simulated(price, n_paths=400, horizon=13, **offers):
    found = two_models(price, **offers)
    every = np.arange(len(found.group_of))
    draw = ListSimulator(found, seed=1).paths
    return draw(len(price) - 1, n_paths=n_paths, only=every, ahead=np.arange(horizon))


def test_reviews_are_the_cells_in_which_prices_step_and_jitter_is_none():
    price = reviewed(joins=1.0)
    price[50:] *= 1.001  # under half a percent
    found = two_models(price)
    assert found.reviews.tolist() == list(range(4, 160, 4))
    assert (found.sign != 0).all()


def test_machines_of_one_series_in_a_region_are_one_place():
    panel = a_panel(reviewed(places=4))
    panel.offers["region"] = "r"
    panel.offers["instance_type"] = ["a3-highgpu-1g", "a3-highgpu-8g", "a3-megagpu-8g", "p5.48xl"]
    (found,) = price_lists(find_patterns(panel))
    names = panel.offers["instance_type"].to_numpy()
    order = np.argsort(find_patterns(panel).of_offer)
    place = dict(zip(names[order], found.place_of, strict=True))
    assert place["a3-highgpu-1g"] == place["a3-highgpu-8g"]
    assert len({place[name] for name in names}) == 3


def test_reviews_come_as_often_as_on_record_and_later_the_longer_the_last_gap():
    rng = np.random.default_rng(0)
    size = {"n_paths": 4000, "horizon": 24, "rng": rng}
    regular = timing.draw_reviews(np.arange(0, 200, 6), 198, **size)
    assert regular.mean() == pytest.approx(1 / 6, rel=0.15)
    assert regular[:, 0].mean() < 0.02  # one came just now
    due = timing.draw_reviews(np.arange(0, 200, 6), 203, **size)
    assert due[:, 0].mean() > 0.3
    silent = timing.draw_reviews(np.arange(0, 40, 6), 200, **size)
    assert silent[:, 0].mean() < 0.05  # the list is hardly reviewed any more
    rare = timing.draw_reviews(np.array([10]), 200, **size)
    assert 0.02 < rare.any(axis=1).mean() < 0.4


def test_how_often_places_join_and_go_on_is_what_the_record_shows():
    rng = np.random.default_rng(0)
    for same_way, joins in ((0.9, 0.8), (0.2, 0.4)):
        found = two_models(reviewed(same_way, joins, places=40))
        rates = draw_rates(ReviewCounts.of(found), n_paths=4000, rng=rng)
        for each in (rates.falls_again, rates.rises_again):
            assert each.mean() == pytest.approx(same_way, abs=0.1)
            assert each.std() > 0.02  # doubt is in the paths
        for each in (rates.joins_again, rates.joins_anew):
            assert each.mean() == pytest.approx(joins, abs=0.1)


def test_persistence_that_has_ended_is_forgotten_sooner_than_a_long_memory_would():
    went_on = reviewed(0.97, joins=1.0, cells=120)
    turned = reviewed(0.03, joins=1.0, cells=40, seed=1)
    both = np.concatenate([went_on, turned / turned[0] * went_on[-1]])
    counts = ReviewCounts.of(two_models(both))
    rates = draw_rates(counts, n_paths=4000, rng=np.random.default_rng(0))
    for share, drawn in (
        (counts.fell_again, rates.falls_again),
        (counts.rose_again, rates.rises_again),
    ):
        assert np.nanmean(share) > 0.6  # over the whole record
        assert drawn.mean() < 0.3


def test_a_place_that_never_moved_goes_by_its_group():
    price = np.ones((60, 4))
    price[20:, 0] = 1.2  # an H100
    price[30:, 1] = 0.7  # an L4, later
    way = two_models(price).last_way  # places of H100 first
    np.testing.assert_array_equal(way, [[0, 0, 0, 0], [1, 1, 0, 0], [1, 1, -1, -1]])


def test_unknown_directions_foretell_no_drift_and_known_ones_do():
    even = np.expm1(simulated(reviewed(0.5), n_paths=2000)).mean(axis=1)[:, -1]
    assert abs(even.mean()) < 0.02
    trending = reviewed(0.97)
    mean = np.expm1(simulated(trending, n_paths=2000)).mean(axis=1)[:, -1]
    last = two_models(trending).last_way[-1]
    assert (np.sign(mean) == last).mean() > 0.9
    assert np.abs(mean).mean() > 0.05


def test_paths_stand_still_between_reviews_and_where_no_review_is_on_record():
    paths = simulated(reviewed())
    assert (np.diff(paths, axis=2) == 0).mean() > 0.6
    assert not simulated(np.ones((50, 4))).any()


def test_some_places_are_those_of_all_and_steps_asked_those_of_every_step():
    found = two_models(reviewed())
    simulator = ListSimulator(found, seed=1)
    every = np.arange(len(found.group_of))
    whole = simulator.paths(100, n_paths=50, only=every, ahead=np.arange(13))
    part = simulator.paths(100, n_paths=50, only=np.array([3, 9]), ahead=np.array([1, 12]))
    np.testing.assert_array_equal(part, whole[[3, 9]][:, :, [1, 12]])
    by_path = simulator.paths(100, n_paths=50, only=every, ahead=np.arange(50)[:, None] % 13)
    for path in range(50):
        np.testing.assert_array_equal(by_path[:, path, 0], whole[:, path, path % 13])
    further = simulator.paths(100, n_paths=50, only=every, ahead=np.arange(30))
    np.testing.assert_array_equal(further[:, :, :13], whole)


def test_the_future_and_later_offers_change_no_path():
    price = reviewed()
    other = price.copy()
    other[101:] *= np.random.default_rng(3).uniform(0.5, 1.5, other[101:].shape)
    size = {"n_paths": 50, "only": np.arange(24), "ahead": np.arange(8)}
    found = [
        np.sort(ListSimulator(two_models(each), seed=1).paths(100, **size), axis=0)
        for each in (price, other)
    ]
    np.testing.assert_array_equal(*found)


def test_a_spot_price_stays_in_its_band_of_discounts_unless_a_review_breaks_it():
    rng = np.random.default_rng(0)
    step = rng.choice([-0.08, 0.0, 0.08], (60, 12))
    discount = np.clip(np.cumsum(np.repeat(step, 4, axis=0), axis=0) / 4, -0.6, 0.0)
    discount = np.repeat(discount[::4], 4, axis=0)
    price = np.exp(discount) * 40.0
    listed = np.full((240, 12), 100.0)
    panel = a_panel(np.concatenate([price, listed], axis=1), ["spot"] * 12 + ["on_demand"] * 12)
    panel.offers["region"] = [f"r{i % 12}" for i in range(24)]
    spot, _ = sorted(
        price_lists(find_patterns(panel, listed=panel)), key=lambda each: not each.step.any()
    )
    assert np.isfinite(spot.discount).all()
    down, up = spot.room(239)
    assert (down >= 0).all()
    assert (up >= 0).all()
    draw = ListSimulator(spot, seed=1).paths
    every = np.arange(len(up))
    end = draw(239, n_paths=2000, only=every, ahead=np.array([7]))[:, :, 0]
    beyond = (end > up[:, None] + 1e-9) | (end < -down[:, None] - 1e-9)
    assert beyond.mean() < 0.1
    at_top = up < 0.01
    assert at_top.any()
    assert (end[at_top] > 0).mean() < 0.1 < (end[at_top] < 0).mean()


def test_rises_are_no_larger_than_on_record_and_falls_are_open():
    price = reviewed(size=0.05)
    price[80:, :12] *= 0.4  # a fall beyond all others
    found = two_models(price)
    drawn = sizes.Sizes.of(found, len(found.reviews))
    assert max(size.max() for size, _ in drawn.rises) <= found.step.max()
    assert max(size.max() for size, _ in drawn.falls) > 0.8


@pytest.mark.parametrize("decides", ["joined", "way", "size"])
def test_what_places_of_a_group_do_alike_is_found_and_drawn(decides):
    rng = np.random.default_rng(0)

    def drawn(is_alike):
        """A number for each review and place; those of a group are one where they are alike."""
        of_group = np.tile(rng.random((40, 2)), 6)
        return of_group if is_alike else rng.random((40, 12))

    found = {}
    for is_alike in (True, False):
        alike = dict.fromkeys(("joined", "way", "size"), False) | {decides: is_alike}
        moves = drawn(alike["joined"]) < 0.7
        sign = np.where(drawn(alike["way"]) < 0.5, 1.0, -1.0)
        size = 0.02 + 0.1 * drawn(alike["size"])
        log_price = np.repeat(np.cumsum(np.where(moves, sign * size, 0.0), axis=0), 3, axis=0)
        prices = two_models(np.exp(log_price) * np.linspace(1, 2, 12))
        after = concordances(prices, ReviewCounts.of(prices), seed=1)
        assert len(after) == len(prices.reviews) + 1
        assert after[0] == (0.0, 0.0, 0.0)
        found[is_alike] = after[-1]._asdict()
    assert found[True].pop(decides) > 0.8
    assert max(found[False].values()) < 0.3
    assert max(found[True].values()) < 0.3
    paths = simulated(np.exp(log_price) * np.linspace(1, 2, 12), n_paths=50)
    assert np.isfinite(paths).all()


def test_places_whose_reviews_go_one_way_do_so_in_the_paths():
    rng = np.random.default_rng(0)
    shares = []
    for n_places in (2, 12):  # a way for each group, or for each place
        way = np.tile(rng.choice([-1.0, 1.0], (40, n_places)), 12 // n_places)
        step = way * np.linspace(0.03, 0.14, 12)
        price = np.exp(np.repeat(np.cumsum(step, axis=0), 3, axis=0)) * np.linspace(1, 2, 12)
        place = two_models(price).group_of
        sign = np.sign(simulated(price, horizon=3)[place == 0, :, -1])
        both = (sign[0] != 0) & (sign[1:] != 0)
        shares.append((sign[1:] == sign[0])[both].mean())
    assert shares[0] > 0.75
    assert shares[1] < 0.65


def test_paths_hurry_alike_at_all_steps_and_never_go_back():
    steps = np.array([1, 2, 4, 13])
    at = clock.steps_at(1.3, steps, 1000)
    np.testing.assert_allclose(at.mean(axis=0), 1.3 * steps, atol=0.01)
    assert (np.diff(at, axis=1) >= np.diff(steps)).all()
    assert (at[:, 0] >= 1).all()
    np.testing.assert_array_equal(clock.steps_at(1.0, steps, 7), np.tile(steps, (7, 1)))


def test_what_an_interval_holds_of_a_truth_by_hand():
    paths = np.arange(1.0, 100.0).reshape(1, 99, 1)  # hundredths, so that 10 to 90 are 80 %
    for truth, held in ((50.5, [1.0, 1.0]), (5.5, [0.0, 1.0]), (0.0, [0.0, 0.0]), (np.nan, None)):
        got = clock.share_inside(paths, np.array([[truth]]))[:, 0, 0]
        if held is None:
            assert np.isnan(got).all()
        else:
            np.testing.assert_allclose(got, held, atol=1e-12)
    still = np.zeros((1, 99, 1))  # the truth is any of them
    np.testing.assert_allclose(
        clock.share_inside(still, np.zeros((1, 1)))[:, 0, 0], clock.INTERVALS, atol=1e-12
    )


def paces_from(pace, at, n_origins=80):
    """Paces at cells, where intervals hold what they say if paths are simulated at ``pace``."""
    beyond = 0.02 * np.log(clock.PACES / pace)[:, None]
    shape = (n_origins, 2, len(clock.PACES), len(clock.INTERVALS))
    held = np.broadcast_to(clock.INTERVALS + beyond, shape)
    is_known = np.ones(shape[:2], bool)
    weights = OutcomeWeights.of(np.arange(n_origins), np.array([1, 2]), is_known, np.array(at))
    return clock.paces(held, weights)


def test_the_pace_is_that_at_which_intervals_have_held_what_they_say():
    assert paces_from(2.0, [400], 400)[0] == pytest.approx(2.0, rel=0.06)
    assert paces_from(0.5, [80])[0] == 1.0  # never slower than simulated
    assert paces_from(9.0, [80])[0] <= clock.PACES[-1]
    early, later = paces_from(2.0, [4, 40])
    assert 1.0 < early < later  # few windows say little
    assert paces_from(2.0, [0])[0] == 1.0


def test_the_pace_learns_from_what_paths_missed():
    calm = reviewed(size=0.02, cells=60)
    wild = reviewed(size=0.2, cells=40, seed=2)
    price = np.concatenate([calm, wild / wild[0] * calm[-1]])
    patterns = find_patterns(a_panel(price))
    before, after = rolling_lists(patterns, np.array([58, 95]), horizon=8, seed=1).lists[0].pace
    assert after > before + 0.05


def test_a_hurried_path_is_that_of_a_later_cell_in_all_places():
    patterns = find_patterns(a_panel(reviewed(cells=60)))
    lists = rolling_lists(patterns, np.array([59]), horizon=8, seed=1)
    (found,) = lists.lists
    hurried = replace(found, pace=np.array([2.0]), drift_trust=np.ones((1, len(found.steps))))
    every = np.arange(len(found.simulator.prices.group_of))
    got = hurried.paths(0, 59, n_paths=300, only=every, ahead=np.array([3]))
    later = found.simulator.paths(59, n_paths=300, only=every, ahead=np.array([7]))
    place = found.simulator.prices.place_of
    assert ((got[:, :, 0] == 0) == (later[place, :, 0] == 0)).all()
    mean = np.expm1(found.simulator.paths(59, n_paths=300, only=every, ahead=np.array([3])))
    np.testing.assert_allclose(np.expm1(got).mean(axis=1), mean.mean(axis=1)[place], atol=1e-12)


def test_the_drift_is_trusted_where_prices_have_followed_it():
    trust = []
    for same_way in (0.97, 0.5):
        patterns = find_patterns(a_panel(reviewed(same_way, cells=110)))
        (found,) = rolling_lists(patterns, np.array([105]), horizon=8, seed=1).lists
        trust.append(found.drift_trust[0, -1])
    assert trust[0] > 0.6
    assert trust[1] < 0.4


def test_where_steps_persist_half_of_the_error_goes_and_where_they_do_not_none_is_added():
    for same_way, low, high in ((0.95, 0.0, 0.7), (0.5, 0.97, 1.02)):
        price = reviewed(same_way, joins=0.95, cells=130, every=2)
        patterns = find_patterns(a_panel(price))
        origins = np.arange(70, 120, 4)
        rolling = rolling_lists(patterns, origins, horizon=8, seed=1)
        error = last = 0.0
        for i, origin in enumerate(origins):
            paths = rolling.paths(i, n_paths=200, only=np.arange(24), ahead=np.array([7]))
            came = patterns.log_price[origin + 8] - patterns.log_price[origin]
            error += np.abs(np.median(paths[:, :, 0], axis=1) - came).sum()
            last += np.abs(came).sum()
        assert low <= error / last <= high


def test_a_mean_is_set_by_moving_what_changed_alone():
    paths = np.array([[[0.0], [0.1], [-0.2], [0.0]]])
    moved = with_mean(paths, np.array([[0.03]]))
    assert np.expm1(moved).mean() == pytest.approx(0.03)
    assert (moved[0, [0, 3]] == 0).all()
    assert moved[0, 1, 0] - moved[0, 2, 0] == pytest.approx(0.3)
    still = np.zeros((1, 4, 1))
    assert not with_mean(still, np.array([[0.03]])).any()


@pytest.mark.parametrize("weeks", [13, 156])
def test_a_forecast_of_three_years_is_wider_and_stays_a_price(weeks):
    price = reviewed(cells=80)
    panel = a_panel(price, ["spot"] * 20 + ["on_demand"] * 4)
    found = forecast_of(panel, horizon_steps=weeks, n_paths=300)
    assert found.paths.values.shape == (24, 300, weeks)
    assert (found.paths.values > 0).all()
    spread = np.log(found.paths.values).std(axis=1)
    assert (spread[:, -1] > 1.4 * spread[:, 3]).mean() > 0.8
    assert found.weights.empty
    assert found.gates.empty


def test_lists_of_other_providers_and_options_have_reviews_of_their_own():
    price = reviewed(places=6)
    price[:, 4:] = 3.0
    panel = a_panel(price, ["spot"] * 4 + ["on_demand"] * 2, providers=["gcp"] * 2 + ["aws"] * 4)
    found = price_lists(find_patterns(panel))
    assert sorted(len(each.series) for each in found) == [1, 2, 2]
    ahead = forecast_of(panel, horizon_steps=8)
    assert (ahead.paths.values[4:] == 3.0).all()


def figures_13_weeks_ahead(price):
    """Mean, spread and mean of the dearest twentieth of a calibrated forecast, over all offers."""
    patterns = find_patterns(a_panel(price))
    lists = rolling_lists(patterns, np.array([len(price) - 1]), horizon=13, seed=1)
    paths = lists.paths(-1, n_paths=400, only=np.arange(price.shape[1]), ahead=np.array([12]))
    cost = np.sort(np.exp(paths[..., 0]).mean(axis=0))
    return np.array([cost.mean(), cost.std(), cost[-20:].mean()])


def test_no_figure_moves_where_the_fastest_pace_is_twice_as_fast(monkeypatch):
    price = reviewed(cells=60, places=6)
    before = figures_13_weeks_ahead(price)
    ratio = clock.PACES[1] / clock.PACES[0]
    further = clock.PACES[-1] * ratio ** np.arange(1, 7)
    assert further[-1] == pytest.approx(2 * clock.PACES[-1])
    for module in (clock, rolling):
        monkeypatch.setattr(module, "PACES", np.append(clock.PACES[:13], further))
    np.testing.assert_allclose(figures_13_weeks_ahead(price), before, rtol=0.01)


def test_no_figure_moves_where_the_longest_mean_gap_is_twice_as_long(monkeypatch):
    price = reviewed(cells=60, places=6)
    before = figures_13_weeks_ahead(price)
    ratio = timing.MEAN_GAPS[1] / timing.MEAN_GAPS[0]
    further = timing.MEAN_GAPS[-1] * ratio ** np.arange(1, 6)
    assert further[-1] > 2 * timing.MEAN_GAPS[-1]
    more = timing.GapLaws.of(timing.SHAPES, np.append(timing.MEAN_GAPS, further))
    monkeypatch.setattr(timing, "LAWS", more)
    after = figures_13_weeks_ahead(price)
    np.testing.assert_allclose(after, before, rtol=0.01)
    fewer = timing.GapLaws.of(timing.SHAPES, timing.MEAN_GAPS[:10])
    monkeypatch.setattr(timing, "LAWS", fewer)
    assert not np.allclose(figures_13_weeks_ahead(price), before, rtol=0.01)
