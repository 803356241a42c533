"""A demand, what has to run and what is known beside it, read with the line of a mistake."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import Field

from cloudarb_lib.allocate.demand.facts import (
    Commitment,
    DemandScenario,
    Placement,
    Price,
    Quota,
    RoundTrip,
    Team,
)
from cloudarb_lib.allocate.demand.limit_figures import LimitFigures
from cloudarb_lib.allocate.demand.sentences import refused
from cloudarb_lib.allocate.demand.workload import Workload
from cloudarb_lib.base.errors import ParameterError, did_you_mean
from cloudarb_lib.base.records import Place, read, record
from cloudarb_lib.base.yaml_files import read_yaml

OURS = "data/demand*.yaml"
"""The demand files that come with the program."""


class DemandError(ParameterError):
    """A demand asks for what the offers do not have.

    Parameters
    ----------
    place
        The way to what is at fault in a demand file: a list, its entry (by name, or by number
        from 0), a key.
    what, way_out
        As of every error.
    """

    def __init__(self, place: tuple[str | int, ...], what: str, way_out: str = "") -> None:
        super().__init__(what, way_out)
        self.place = place


@record
class Demand:
    """What has to run, what is held and allowed, how the need may turn out, and what runs now."""

    workloads: Annotated[
        list[Workload], Field(alias="demand", description="what has to run, an entry each")
    ]
    commitments: Annotated[
        tuple[Commitment, ...],
        Field(
            description="what is held already: reservations, prepaid machines; used first, and "
            "what is not used stands in the plan as idle"
        ),
    ] = ()
    scenarios: Annotated[
        tuple[DemandScenario, ...],
        Field(
            description="ways in which the need may turn out: commitments are the same in all of "
            "them, the rest is chosen in each"
        ),
    ] = ()
    current: Annotated[
        tuple[Placement, ...], Field(description="what runs now: leaving it is paid for")
    ] = ()
    quotas: Annotated[
        tuple[Quota, ...],
        Field(description="what you may rent, in place of the capacity that is assumed"),
    ] = ()
    prices: Annotated[
        tuple[Price, ...], Field(description="discounts and prices agreed with providers")
    ] = ()
    teams: Annotated[
        tuple[Team, ...], Field(description="who shares the plan: budgets, and who goes first")
    ] = ()
    round_trips: Annotated[
        tuple[RoundTrip, ...],
        Field(
            description="round trips that were measured; of other regions they are estimated from "
            "the great circle, and routes or the users' own networks may make them longer"
        ),
    ] = ()
    limits: Annotated[
        LimitFigures,
        Field(description="limits of the whole plan; an option of the command line goes first"),
    ] = LimitFigures()

    def __post_init__(self) -> None:
        names = [w.name for w in self.workloads]
        teams = [team.name for team in self.teams]
        if not names:
            what = "the demand is empty: no workload to place."
            raise ParameterError(what, "List at least one '- workload: name'.")
        _refuse_repeated("workload", names, "demand")
        _refuse_repeated("team", teams, "teams")
        for at, workload in enumerate(self.workloads):
            if workload.team is not None:
                _refuse_unknown("team", workload.team, teams, ("demand", at, "team"))
        for at, placement in enumerate(self.current):
            _refuse_unknown("workload", placement.workload, names, ("current", at, "workload"))
        for at, scenario in enumerate(self.scenarios):
            for name in scenario.factors:
                _refuse_unknown("workload", name, names, ("scenarios", at, "times", name))
        futures = [scenario.name for scenario in self.scenarios]
        _refuse_repeated("scenario", futures, "scenarios")
        total = sum(s.probability for s in self.scenarios)
        if self.scenarios and abs(total - 1) > 1e-6:
            what = f"probabilities of the scenarios add up to {total:g}, not 1."
            raise refused(("scenarios",), what)
        pairs = [" and ".join(sorted(trip.between)) for trip in self.round_trips]
        _refuse_repeated("round trip between", pairs, "round_trips")
        if self.round_trips:  # each workload is asked on its own where it may run
            workloads = [_with_round_trips(w, self.round_trips) for w in self.workloads]
            object.__setattr__(self, "workloads", workloads)

    def team_of(self, workload: Workload) -> Team | None:
        """Return whose a workload is; None where nobody is named."""
        return next((team for team in self.teams if team.name == workload.team), None)


def _with_round_trips(workload: Workload, trips: tuple[RoundTrip, ...]) -> Workload:
    """Return a workload whose users know the round trips that were measured."""
    latency = tuple(
        replace(users, measured_ms=tuple(end for trip in trips for end in trip.to(users.at)))
        for users in workload.latency
    )
    return replace(workload, latency=latency)


def _refuse_repeated(what: str, names: list[str], entries: str) -> None:
    for at, name in enumerate(names):
        if name in names[:at]:
            raise refused((entries, at), f"{what} {name!r} repeats.")


def _refuse_unknown(what: str, name: str, known: list[str], place: Place) -> None:
    if name not in known:
        there_are = f"There are {', '.join(known)}." if known else f"List it under {what}s."
        raise refused(place, f"no {what} {name!r}{did_you_mean(name, known)}.", there_are)


def load_demand(path: str | Path) -> Demand:
    """Return what a demand file says.

    Parameters
    ----------
    path
        YAML, as docs/demand.md says.

    Raises
    ------
    ParameterError
        With file and line for a key that is not known (naming the nearest), a value that does not
        read, a missing ``needs``, a repeated name, and an empty demand.
    """
    return read(Demand, path, OURS)


@contextmanager
def with_lines_of(path: str | Path) -> Iterator[None]:
    """Tell file and line of what a demand asks for in vain.

    Parameters
    ----------
    path
        The file that the demand was read from.

    Raises
    ------
    ParameterError
        In the place of a ``DemandError``.
    """
    try:
        yield
    except DemandError as error:
        file = read_yaml(path, OURS)
        entries, entry, *keys = error.place
        at = _position(file.values.get(str(entries)), entry)
        where = file.where(entries, at, *keys)
        raise ParameterError(f"{where}: {error.what}", error.way_out) from error


def _position(entries: object, entry: str | int) -> int:
    """Return which entry of a list is meant; the first where none has the name."""
    if isinstance(entry, int):
        return entry
    listed = entries if isinstance(entries, list) else []
    named = [i for i, e in enumerate(listed) if isinstance(e, dict) and entry in e.values()]
    return named[0] if named else 0
