"""Which zone a run would be in, and what had been seen by then: one zone at a time, kept to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cloudarb_lib.advice.dated.traces import Trace

AGES_H = (0.25, 1.0, 4.0, 12.0)
"""Bounds of the hours that a zone has been up, or down, without a break."""
SHARES = (0.2, 0.5, 0.8, 0.95)
"""Bounds of the share of the last ``MEMORY_H`` hours in which spot machines could be had."""
MEMORY_H = 24.0
CLASSES = (2, len(AGES_H) + 1, len(SHARES) + 1, 2)
"""Of a state: up or not, age, share of the last day, whether another zone is up too."""


@dataclass(frozen=True)
class Followed:
    """What a run that follows a trace would see at each probe.

    Attributes
    ----------
    up
        Whether a spot machine can be had, or kept, (probes,).
    lost
        Whether a machine held at the probe before is gone, (probes,); with ``up`` where another
        zone has one.
    states
        Class of all that is known by then, (probes,): a number below the product of ``CLASSES``.
    """

    up: np.ndarray
    lost: np.ndarray
    states: np.ndarray


def follow(trace: Trace) -> Followed:
    """Return what a run sees that stays in a zone while it is up, and else goes to another.

    Of several it takes the one that has been up longest: what has lasted lasts.
    """
    age = _ages(trace.up)
    zone = np.full(len(trace.up), -1)
    lost = np.zeros(len(trace.up), bool)
    held = -1
    for t, up in enumerate(trace.up):
        lost[t] = held >= 0 and not up[held]
        if held < 0 or lost[t]:
            held = int(np.where(up, age[t], 0).argmax()) if up.any() else -1
        zone[t] = held
    return Followed(zone >= 0, lost, _states(trace, zone, age))


def _ages(up: np.ndarray) -> np.ndarray:
    """Return for how many probes, this one included, each column has been as it is."""
    age = np.ones(up.shape, int)
    for t in range(1, len(up)):
        age[t] = np.where(up[t] == up[t - 1], age[t - 1] + 1, 1)
    return age


def _states(trace: Trace, zone: np.ndarray, age: np.ndarray) -> np.ndarray:
    """Return the class of each probe, (probes,)."""
    probes = np.arange(len(zone))
    any_up = zone >= 0
    none_since = _ages(any_up[:, None])[:, 0]
    age_h = np.where(any_up, age[probes, np.maximum(zone, 0)], none_since) * trace.gap_h
    memory = max(round(MEMORY_H / trace.gap_h), 1)
    up_before = np.concatenate([[0], any_up.cumsum()])
    first = np.maximum(probes + 1 - memory, 0)
    share = (up_before[probes + 1] - up_before[first]) / (probes + 1 - first)
    classes = (
        any_up.astype(int),
        np.searchsorted(AGES_H, age_h, side="right"),
        np.searchsorted(SHARES, share, side="right"),
        (trace.up.sum(axis=1) > 1).astype(int),
    )
    return np.ravel_multi_index(classes, CLASSES)
