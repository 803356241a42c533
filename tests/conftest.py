"""Members that need seconds take part only where a test says so: their own tests and those marked ``slow``."""

import pytest
from hypothesis import settings

from cloudarb_lib.forecast import members

settings.register_profile("untimed", deadline=None)  # a busy machine is no mistake
settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def quick_members(request, monkeypatch):
    if "slow" not in request.keywords:
        for name in members.SLOW:
            monkeypatch.delitem(members.MEMBERS, name)
