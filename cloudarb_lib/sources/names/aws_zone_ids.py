"""AWS zone ids: which region use1-az4 or usw2-lax1-az1 lies in.

A zone id is the same zone in every account, a zone name (us-east-1a) is not. It begins with a short
code of its region, which follows from the region's name: the area as it stands, the initials of
what follows, the number. Where AWS chose another code, it stands in ``_EXCEPTIONS``.

References
----------
https://docs.aws.amazon.com/ram/latest/userguide/working-with-az-ids.html
"""

from __future__ import annotations

import re

_EXCEPTIONS = {"usgw1": "us-gov-west-1", "usge1": "us-gov-east-1"}
_DIRECTIONS = {
    "n": "north",
    "ne": "northeast",
    "nw": "northwest",
    "s": "south",
    "se": "southeast",
    "sw": "southwest",
    "e": "east",
    "w": "west",
    "c": "central",
}
_CODE = re.compile(rf"([a-z]{{2}})({'|'.join(_DIRECTIONS)})(\d+)")
_ZONE_ID = re.compile(r"([a-z]+\d+)(?:-[a-z]+\d*)*-az\d+|([a-z]+\d+)-wl\d+-[a-z]+-wlz\d+")


def region_of_zone_id(zone_id: str) -> str | None:
    """Return the region of a zone id, None where the text is none.

    Parameters
    ----------
    zone_id : str
        Such as ``euc1-az2``; of a local zone ``usw2-lax1-az1``, of a Wavelength zone
        ``use1-wl1-bos-wlz1``.
    """
    found = _ZONE_ID.fullmatch(zone_id.strip().lower())
    if not found:
        return None
    code = found[1] or found[2]
    if code in _EXCEPTIONS:
        return _EXCEPTIONS[code]
    parts = _CODE.fullmatch(code)
    return f"{parts[1]}-{_DIRECTIONS[parts[2]]}-{parts[3]}" if parts else None
