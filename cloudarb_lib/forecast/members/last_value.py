"""The last value: what every other member has to beat."""

from __future__ import annotations

from cloudarb_lib.forecast.member import Member, MemberForecast

MEMBERS = (Member("last_value", MemberForecast.no_change, place=0),)
