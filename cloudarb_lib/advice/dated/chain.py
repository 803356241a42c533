"""How spot machines come and go: a Markov chain on what can be seen, with its doubt."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cloudarb_lib.advice.dated.following import CLASSES, Followed
from cloudarb_lib.base.errors import DataError, ParameterError

OWN_VISITS = 50.0
"""Visits of a state after which a trace's own frequency counts as much as that of its peers."""
PEER_VISITS = 10.0
"""The same of the peers' frequency against that of all states that are up, or down."""
LEAST = 1e-5
"""Least probability of a change: what never came yet may come."""


@dataclass(frozen=True)
class Chain:
    """A Markov chain of availability, one step a tick.

    Attributes
    ----------
    tick_h
        Hours a step.
    up
        Whether a spot machine can be had in a state, (states,).
    stays
        Probability of the next state with a running machine kept, (states, states).
    lost
        Probability of the next state with a running machine taken away, (states, states); the next
        state may be up, in another zone. A row of both together adds up to 1.
    index
        Which of these states stands for each class of ``following``; those never met are stood for
        by the nearest. Empty where states are no such classes.
    """

    tick_h: float
    up: np.ndarray
    stays: np.ndarray
    lost: np.ndarray
    index: np.ndarray

    def __post_init__(self) -> None:
        if not np.allclose((self.stays + self.lost).sum(axis=1), 1.0):
            raise DataError("the probabilities of a chain do not add up to 1.")

    @property
    def moves(self) -> np.ndarray:
        """Probability of the next state for who has no spot machine, (states, states)."""
        return self.stays + self.lost

    def stationary(self) -> np.ndarray:
        """Return the share of time in each state in the long run, (states,)."""
        share = np.full(len(self.up), 1.0 / len(self.up))
        doubled = 0.5 * (self.moves + np.eye(len(share)))  # no cycles
        for _ in range(20):
            doubled = doubled @ doubled
        return share @ doubled


def two_states(interruption_per_hour: float, outage_hours: float, tick_h: float) -> Chain:
    """Return the chain of machines taken away at a constant hazard, for exponential outages.

    State 0 is down, state 1 up.

    Raises
    ------
    ParameterError
        For a negative hazard, or an outage that is not above 0.
    """
    if not (interruption_per_hour >= 0 and outage_hours > 0):
        what = f"a hazard of {interruption_per_hour!r} an hour for {outage_hours!r} h is none."
        raise ParameterError(what, "Give 0 or more, and hours above 0.")
    taken = -np.expm1(-interruption_per_hour * tick_h)
    back = -np.expm1(-tick_h / outage_hours)
    stays = np.array([[1.0 - back, back], [0.0, 1.0 - taken]])
    lost = np.array([[0.0, 0.0], [taken, 0.0]])
    return Chain(tick_h, np.array([False, True]), stays, lost, np.arange(0))


@dataclass(frozen=True)
class Counts:
    """How often each class was followed by each, a machine kept or lost, (classes, classes)."""

    kept: np.ndarray
    lost: np.ndarray

    @property
    def visits(self) -> np.ndarray:
        return (self.kept + self.lost).sum(axis=1)

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.kept + other.kept, self.lost + other.lost)


def count(followed: Followed) -> Counts:
    """Return how often each class was followed by each."""
    size = int(np.prod(CLASSES))
    kept = np.zeros((size, size))
    lost = np.zeros((size, size))
    before = followed.states[:-1]
    after = followed.states[1:]
    gone = followed.lost[1:]
    np.add.at(kept, (before[~gone], after[~gone]), 1.0)
    np.add.at(lost, (before[gone], after[gone]), 1.0)
    return Counts(kept, lost)


def estimate(
    own: Counts, peers: Counts, tick_h: float, rng: np.random.Generator | None = None
) -> Chain:
    """Return the chain of a trace, drawn towards that of its peers where it has seen little.

    How often a state changes (is lost, or found) is a frequency with a beta prior: of the peers'
    frequency, and theirs of that of all states that are up, or down. Where a change leads is taken
    from all of them.

    Parameters
    ----------
    own, peers
        Counts of the trace, and of others with the same step, itself included.
    rng
        Draw the frequencies from their posterior, instead of taking their means.

    Raises
    ------
    DataError
        Where spot was never to be had, or never not.
    """
    known = np.flatnonzero(peers.visits)
    up = _is_up(known)
    if up.all() or not up.any():
        what = f"in the record spot machines could {'always' if up.all() else 'never'} be had."
        raise DataError(what, "Take a longer record, or a hazard preset.")
    index = _nearest(known)
    change = _change_rate(own, peers, rng)[known]
    kept = peers.kept[np.ix_(known, known)]
    changed = np.where(up[:, None], peers.lost[np.ix_(known, known)], kept * up)
    same = np.where(up[:, None], kept, kept * ~up)
    same = (1.0 - change)[:, None] * _rows(same, np.arange(len(known)))
    changed = change[:, None] * _rows(changed, index[_just_changed(known)])
    stays = same + np.where(up[:, None], 0.0, changed)
    return Chain(tick_h, up, stays, np.where(up[:, None], changed, 0.0), index)


def _is_up(states: np.ndarray) -> np.ndarray:
    return np.unravel_index(states, CLASSES)[0] == 1


def _nearest(known: np.ndarray) -> np.ndarray:
    """Return the position in ``known`` of the class nearest to each; up and down never mix."""
    classes = np.array(np.unravel_index(np.arange(np.prod(CLASSES)), CLASSES)).T
    weights = np.array([100, 1, 1, 1])
    distance = (np.abs(classes[:, None] - classes[known]) * weights).sum(axis=2)
    return distance.argmin(axis=1)


def _just_changed(states: np.ndarray) -> np.ndarray:
    """Return the class that follows a change when none is on record: the other kind, just begun."""
    up, _, share, _ = np.unravel_index(states, CLASSES)
    none = np.zeros(len(states), int)
    return np.ravel_multi_index((1 - up, none, share, none), CLASSES)


def _rows(counts: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """Return counts as shares of their row; a row without any leads to state ``otherwise``."""
    total = counts.sum(axis=1, keepdims=True)
    default = np.eye(len(counts))[otherwise]
    return np.where(total > 0, counts / np.maximum(total, 1.0), default)


def _change_rate(own: Counts, peers: Counts, rng: np.random.Generator | None) -> np.ndarray:
    """Return how likely each class is to end: a machine lost, or one found, (classes,)."""
    up = _is_up(np.arange(len(peers.visits)))
    changes = _changes(peers, up)
    of_kind = np.empty(len(up))
    for kind in (up, ~up):
        of_kind[kind] = changes[kind].sum() / max(peers.visits[kind].sum(), 1.0)
    of_peers = (changes + PEER_VISITS * of_kind) / (peers.visits + PEER_VISITS)
    of_peers = of_peers.clip(LEAST, 1.0 - LEAST)
    ended = _changes(own, up) + OWN_VISITS * of_peers
    lasted = own.visits + OWN_VISITS - ended
    rate = ended / (ended + lasted) if rng is None else rng.beta(ended, lasted)
    return rate.clip(LEAST, 1.0 - LEAST)


def _changes(counts: Counts, up: np.ndarray) -> np.ndarray:
    """Return how often each class ended, (classes,)."""
    return np.where(up, counts.lost.sum(axis=1), counts.kept[:, up].sum(axis=1))
