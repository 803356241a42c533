"""Errors carry the way out, and an exit code of their own."""

from cloudarb_lib.base import errors
from cloudarb_lib.base.errors import CloudArbError


def test_errors_carry_the_way_out():
    error = CloudArbError("price is -1.", "Leave the row out.")
    assert str(error) == "price is -1. Way out: Leave the row out."
    kinds = [kind for kind in CloudArbError.__subclasses__() if kind.__module__ == errors.__name__]
    assert len({kind.exit_code for kind in kinds}) == len(kinds) >= 5
