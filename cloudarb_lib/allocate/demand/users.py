"""Where the users of a workload are, and how near to them it must run."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from cloudarb_lib.allocate.demand.sentences import refused
from cloudarb_lib.base.records import NotNegative, Positive, Text, record

MOST_PLACES = 6
"""So many places of users may have shares: each set of them is a row of the program."""


@record
class Users:
    """Users in one place: all that a workload has, or so many per cent of them."""

    within_ms: NotNegative
    at: Text
    """provider/region."""
    percent: Annotated[Positive, Field(le=100)] | None = None
    measured_ms: tuple[tuple[str, float], ...] = ()
    """Round trips to regions (provider/region) that are known, in place of estimates."""

    @property
    def words(self) -> str:
        """As it stands in a demand file."""
        share = "" if self.percent is None else f" for {self.percent:g} %"
        return f"{self.within_ms:g} ms to {self.at}{share}"


def _listed(value: object) -> object:
    return (value,) if isinstance(value, Users) else value


def _together(users: tuple[Users, ...]) -> tuple[Users, ...]:
    """Return places of users that can be meant together.

    Raises
    ------
    PydanticCustomError
        With a ParameterError, for ``base.records``.
    """
    shares = [each.percent for each in users if each.percent is not None]
    for number, each in enumerate(users):
        if each.at in [other.at for other in users[:number]]:
            raise refused((), f"latency: {each.at} stands twice.", "Name each place once.")
    if not shares:
        return users
    if len(shares) < len(users):
        what = "latency: some places have a share of the users, others none."
        raise refused((), what, "Write 'for 40 %' behind each place, or behind none.")
    if abs(sum(shares) - 100) > 1e-6:
        what = f"latency: shares of the users add up to {sum(shares):g} %, not 100 %."
        raise refused((), what, "A place without a share holds for all users.")
    if len(users) > MOST_PLACES:
        what = f"latency: {len(users)} places with shares."
        raise refused((), what, f"Name {MOST_PLACES} at most: take near places together.")
    return users


UserPlaces = Annotated[tuple[Users, ...], BeforeValidator(_listed), AfterValidator(_together)]
"""Without shares all machines are near to every place; with them, to as many users as are there."""
