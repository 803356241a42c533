"""One family of errors: each says what is wrong, which value, and the way out."""

from __future__ import annotations

import difflib
from collections.abc import Sequence


class CloudArbError(Exception):
    """Base of every error raised on purpose.

    Parameters
    ----------
    what : str
        Names the problem and the offending value.
    way_out : str
        What to do about it.
    """

    exit_code = 1

    def __init__(self, what: str, way_out: str = "") -> None:
        self.what = what
        self.way_out = way_out
        super().__init__(f"{what} Way out: {way_out}" if way_out else what)


class DataError(CloudArbError):
    """Stored or given data break a rule of the schema."""

    exit_code = 3


class ParameterError(CloudArbError, ValueError):
    """A parameter, a configuration key or a command-line value is not acceptable."""

    exit_code = 2


class StoreError(CloudArbError):
    """The price store cannot be read, written or locked."""

    exit_code = 4


class SolveError(CloudArbError):
    """The allocation could not be solved, or a plan was read that does not exist."""

    exit_code = 5


class InfeasibleError(SolveError):
    """No plan keeps every limit; the way out says what would mend it."""

    exit_code = 7


class WorkerError(CloudArbError):
    """A process of our own that does part of the work failed, died, or took too long."""


class WorkerStopped(WorkerError):
    """It was told to stop, and had nothing to hand over yet."""


def did_you_mean(name: str, known: Sequence[str]) -> str:
    """Return ' (did you mean ...?)' for the closest known name, whatever its case, or ''."""
    folded = {each.casefold(): each for each in known}
    close = difflib.get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.6)
    return f" (did you mean {folded[close[0]]!r}?)" if close else ""
