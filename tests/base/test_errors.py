"""Errors carry the way out, and an exit code of their own."""

from cloudarb_lib.base.errors import CloudArbError


def test_errors_carry_the_way_out():
    error = CloudArbError("price is -1.", "Leave the row out.")
    assert str(error) == "price is -1. Way out: Leave the row out."
    assert len({e.exit_code for e in CloudArbError.__subclasses__()}) == len(
        CloudArbError.__subclasses__()
    )
