"""Errors carry the way out, and an exit code of their own."""

from cloudarb_lib.base import errors
from cloudarb_lib.base.errors import CloudArbError


def test_errors_carry_the_way_out():
    error = CloudArbError("price is -1.", "Leave the row out.")
    assert str(error) == "price is -1. Way out: Leave the row out."
    kinds = [kind for kind in CloudArbError.__subclasses__() if kind.__module__ == errors.__name__]
    assert len({kind.exit_code for kind in kinds}) == len(kinds) >= 5


def test_the_nearest_name_is_found_whatever_its_case():
    assert errors.did_you_mean("h100", ["V100", "H100"]) == " (did you mean 'H100'?)"
    assert errors.did_you_mean("US-WEST", ["us-east", "us-west"]) == " (did you mean 'us-west'?)"
    assert errors.did_you_mean("zzz", ["V100"]) == ""
