"""Stress scenarios: which offers are hit, by which shocks; read from files that people write."""

from __future__ import annotations

import calendar
import dataclasses
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pandas as pd

from cloudarb_lib.base import locations
from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.records import Text, read, record
from cloudarb_lib.base.yaml_files import read_yaml
from cloudarb_lib.market.explore import provider_name
from cloudarb_lib.risk.shocks import SHOCK_KINDS, Shock

FILES = "data/scenarios*.yaml"
"""The project's own scenario files."""
_MONTHS = {*calendar.month_name, *calendar.month_abbr}
_GPU_MODEL = re.compile(r"[a-z]\d+")


@dataclasses.dataclass(frozen=True)
class OffersHit:
    """Whose price and availability a scenario hits.

    '' is everyone's, 'largest' that on which the plan spends most, anything else a name. The fields
    narrow down in their order: the largest region is the largest of what is left.
    """

    purchase_option: str = ""
    gpu_model: str = ""
    provider: str = ""
    region: str = ""

    def mask(self, offers: pd.DataFrame, spend: pd.Series) -> np.ndarray:
        """Return which offers are hit.

        Parameters
        ----------
        offers : pd.DataFrame
            Indexed by offer_id.
        spend : pd.Series
            What the plan spends on each of them.

        Returns
        -------
        np.ndarray of shape (offers,)
            Booleans.
        """
        hit = np.ones(len(offers), dtype=bool)
        for field in dataclasses.fields(self):
            name = getattr(self, field.name)
            if name == "largest":
                column = offers.loc[hit, field.name]
                by_name = spend[hit].groupby(column).sum().drop("unstated", errors="ignore")
                name = by_name.idxmax() if len(by_name) else "none"
            hit &= (offers[field.name] == name).to_numpy() | (not name)
        return hit


@dataclasses.dataclass(frozen=True)
class StressScenario:
    """Shocks to the offers that they hit, and other scenarios that come with them.

    ``of`` makes one from the keys of a scenario file.
    """

    name: str
    shocks: tuple[Shock, ...] = ()
    offers_hit: OffersHit = OffersHit()
    all_of: tuple[StressScenario, ...] = ()

    @classmethod
    def of(cls, name: str, **keys: Any) -> StressScenario:
        """Return a scenario by the keys of an entry of data/scenarios.yaml.

        Parameters
        ----------
        name : str
            Not empty.
        **keys
            Of the kinds of shock (``price``, ``demand``, ...), of ``OffersHit`` (``provider``, ...)
            and ``all_of``, scenarios to add.

        Returns
        -------
        StressScenario

        Raises
        ------
        ParameterError
            For a key or value that cannot be.
        """
        return _scenario(_entry_record(tuple(SHOCK_KINDS))(name, **keys))

    @property
    def with_all_added(self) -> list[StressScenario]:
        """The scenario, all that it adds, and all that these add."""
        return [self, *(added for other in self.all_of for added in other.with_all_added)]


@cache
def _entry_record(kinds: tuple[type[Shock], ...]) -> Callable[..., Any]:
    """Return the record of a file's entry: its keys are the fields of all kinds of shock."""
    keys: list[tuple[str, Any, Any]] = [("name", Text, dataclasses.MISSING)]
    owners: tuple[Any, ...] = (*kinds, OffersHit)
    for owner in owners:
        types = get_type_hints(owner, include_extras=True)
        keys += [(f.name, types[f.name], f.default) for f in dataclasses.fields(owner)]
    keys.append(("all_of", tuple[Any, ...], ()))
    fields = [(name, kind, dataclasses.field(default=default)) for name, kind, default in keys]
    # what does not fit together is found while the entry is read, so that its line can be told
    check = {"__post_init__": _shocks}
    return record(dataclasses.make_dataclass("Scenario", fields, namespace=check, frozen=True))


def _shocks(entry: Any) -> tuple[Shock, ...]:
    """Return the shocks of an entry: those of which a key is not at its default."""
    shocks = []
    for kind in SHOCK_KINDS:
        shock = _part_of(entry, kind)
        if shock != kind():
            shock.check(entry.name)
            shocks.append(shock)
    return tuple(shocks)


def _scenario(entry: Any, all_of: tuple[StressScenario, ...] | None = None) -> StressScenario:
    """Return the scenario of an entry; ``all_of`` if the entry holds names instead."""
    added = entry.all_of if all_of is None else all_of
    return StressScenario(entry.name, _shocks(entry), _part_of(entry, OffersHit), added)


def _part_of(entry: Any, owner: Any) -> Any:
    """Return the record ``owner`` with the values that an entry has for its fields."""
    return owner(**{field.name: getattr(entry, field.name) for field in dataclasses.fields(owner)})


def scenario_in_words(name: str) -> str:
    """Return a scenario as people say it, such as AWS price cut June 2025."""
    return " ".join(map(_word, name.split("_")))


def _word(word: str) -> str:
    if word.capitalize() in _MONTHS:
        return word.capitalize()
    return word.upper() if _GPU_MODEL.fullmatch(word) else provider_name(word)


def load_scenarios(path: str | Path = "") -> list[StressScenario]:
    """Return the scenarios of a YAML file, a list under ``scenarios``.

    Parameters
    ----------
    path : str or Path
        '' means data/scenarios.yaml. The keys of an entry are as for ``StressScenario.of``;
        ``all_of`` names entries above.

    Returns
    -------
    list[StressScenario]
        In the file's order.

    Raises
    ------
    ParameterError
        With file and line for a key that is not known (naming the nearest), a value of the wrong
        kind, a missing or repeated name, and what cannot be.
    """
    path = path or locations.data() / "scenarios.yaml"
    entries: Any = tuple[_entry_record(tuple(SHOCK_KINDS)), ...]  # type: ignore[misc]
    file: Any = record(
        dataclasses.make_dataclass("ScenarioFile", [("scenarios", entries)], frozen=True)
    )
    found: dict[str, StressScenario] = {}
    for i, entry in enumerate(read(file, path, FILES).scenarios):
        unknown = [name for name in entry.all_of if str(name) not in found]
        if unknown or entry.name in found:
            fault = f"all_of: {unknown[0]!r} is not an entry above" if unknown else "name repeats"
            line = read_yaml(path, FILES).where("scenarios", i, "all_of" if unknown else "name")
            raise ParameterError(f"{line}: scenario {entry.name!r}: {fault}.")
        added = tuple(found[str(name)] for name in entry.all_of)
        found[entry.name] = _scenario(entry, added)
    return list(found.values())
