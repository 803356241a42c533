"""Members that need seconds take part only in their own tests and those marked ``slow``."""

import pytest
from hypothesis import settings

from cloudarb_lib.forecast.members import MEMBERS, SLOW

settings.register_profile("untimed", deadline=None)  # a busy machine is no mistake
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def quick_members(request, monkeypatch):
    if "slow" not in request.keywords:
        for name in SLOW:
            monkeypatch.delitem(MEMBERS, name)
