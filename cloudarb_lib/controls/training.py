"""What the forecaster's process does: holds the record, and forecasts it under other terms."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import pandas as pd

from cloudarb_lib.base.progress import told_to
from cloudarb_lib.base.types import Panel
from cloudarb_lib.base.worker import report
from cloudarb_lib.forecast import SLOW, forecast_offers
from cloudarb_lib.forecast.members import MEMBERS


@dataclass(frozen=True)
class Advance:
    """How far the training is: of which part, so many items of so many (None: unknown)."""

    part: str
    done: int
    total: int | None


@dataclass(frozen=True)
class Trainer:
    """Forecasts a record.

    Parameters
    ----------
    panel : Panel
        The record; all of it teaches.
    offer_ids : pd.Index
        Offers to be forecast.
    n_paths, seed : int
        Of the sample paths.
    """

    panel: Panel
    offer_ids: pd.Index
    n_paths: int
    seed: int

    def train(self, horizon_steps: int, members: Collection[str]) -> pd.DataFrame:
        """Return table ``forecast``; reports each ``Advance``, and a first table on the way.

        The first is without the members that need seconds or minutes: who stops the training has
        that.
        """
        left_out = tuple(name for name in MEMBERS if name not in members)
        with told_to(lambda *advance: report(Advance(*advance))):
            if set(SLOW) - set(left_out):
                quick = tuple(dict.fromkeys((*left_out, *SLOW)))
                report(self._forecast(horizon_steps, quick))
            return self._forecast(horizon_steps, left_out)

    def _forecast(self, horizon_steps: int, left_out: tuple[str, ...]) -> pd.DataFrame:
        return forecast_offers(
            self.panel,
            horizon_steps=horizon_steps,
            n_paths=self.n_paths,
            seed=self.seed,
            paths_for=self.offer_ids,
            leave_out=left_out,
        ).table
