"""How long prices go one way: the chance to go on, with the memory that has foretold it.

Each group has a chance of its own after a fall and after a rise: on record one family falls for
years, another falls and comes back, and a pool of both is true of neither. Campaigns begin and end,
so memories compete, for each chance apart, by how well they have foretold reviews.
"""

from __future__ import annotations

import numpy as np
from scipy.special import betaln

MEMORIES_REVIEWS = (2.0, 8.0, 40.0)
"""Half-lives at which persistence may be remembered."""
HALF_LIFE_REVIEWS = 8.0
"""Age at which what a memory has foretold counts half."""
EVEN = 1.0
"""Reviews' worth of belief, each way, before the record speaks: any chance is as likely."""


def memory_gain(again: np.ndarray) -> np.ndarray:
    """Return how well each memory foretold each review.

    Parameters
    ----------
    again : (reviews, groups), the share of those repriced that went on; NaN where nothing is known.

    Returns
    -------
    (reviews, groups, memories), log chances by the Beta law whose counts the memory held before
    the review; 0 where nothing is known.
    """
    went_on, turned = _known(again)
    gain = np.zeros((*again.shape, len(MEMORIES_REVIEWS)))
    for review in range(len(again)):
        weight = _weight(review)
        on = EVEN + weight @ went_on[:review]  # (memories, groups)
        not_on = EVEN + weight @ turned[:review]
        foretold = betaln(on + went_on[review], not_on + turned[review]) - betaln(on, not_on)
        gain[review] = foretold.T
    return gain


def draw_persistence(
    again: np.ndarray, gain: np.ndarray, *, n_paths: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw chances to go on the same way; each path remembers as long as has foretold well.

    Parameters
    ----------
    again, gain : of the reviews so far, as for and from ``memory_gain``.

    Returns
    -------
    (groups, paths)
    """
    went_on, turned = _known(again)
    weight = _weight(len(again))
    on = EVEN + weight @ went_on
    not_on = EVEN + weight @ turned
    recent = 0.5 ** (np.arange(len(again))[::-1] / HALF_LIFE_REVIEWS)
    foretold = np.einsum("r,rgm->gm", recent, gain)
    drawn = np.empty((again.shape[1], n_paths))
    for group, log_chance in enumerate(foretold):
        chance = np.exp(log_chance - log_chance.max())
        memory = rng.choice(len(chance), n_paths, p=chance / chance.sum())
        drawn[group] = rng.beta(on[memory, group], not_on[memory, group])
    return drawn


def _known(again: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares that went on and that turned, 0 where nothing is known."""
    return np.nan_to_num(again), np.nan_to_num(1.0 - again)


def _weight(n_reviews: int) -> np.ndarray:
    """What each of the reviews before one counts to each memory (memories, reviews)."""
    age = np.arange(n_reviews, 0, -1)
    return 0.5 ** (age / np.array(MEMORIES_REVIEWS)[:, None])
