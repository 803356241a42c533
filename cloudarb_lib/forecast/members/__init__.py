"""The members of the ensemble, a file each.

A file of this folder defines ``MEMBERS``, a tuple of ``Member``; it takes part from then on, and
nothing else has to be changed. docs/add-a-member.md shows how, ``testing.check_member`` what a
member must hold to.
"""

from __future__ import annotations

import importlib
import pkgutil

from cloudarb_lib.forecast.member import Member


def discover() -> dict[str, Member]:
    """Return the members of all files of this package, by name.

    Raises
    ------
    ValueError
        Where two of them have one name.
    """
    found: list[Member] = []
    for module in pkgutil.iter_modules(__path__, prefix=f"{__name__}."):
        found += importlib.import_module(module.name).MEMBERS
    names = sorted(member.name for member in found)
    members = {member.name: member for member in found}
    if len(members) < len(found):
        raise ValueError(f"two members have one name: {names}")
    return {name: members[name] for name in names}


MEMBERS = discover()
SLOW = tuple(name for name, member in MEMBERS.items() if member.slow)
"""Members that need seconds: left out where a forecast is made anew every week of a look-back."""
