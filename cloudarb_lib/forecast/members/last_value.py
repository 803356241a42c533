"""The last value: what every other member has to beat."""

from __future__ import annotations

from cloudarb_lib.forecast.member import Member, no_change

MEMBERS = (Member("last_value", no_change),)
