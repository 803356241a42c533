"""Members that need seconds take part only where a test says so: their own tests and those marked ``slow``."""

import pytest

from cloudarb_lib.forecast import members


@pytest.fixture(autouse=True)
def quick_members(request, monkeypatch):
    if "slow" not in request.keywords:
        for name in members.SLOW:
            monkeypatch.delitem(members.MEMBERS, name)
