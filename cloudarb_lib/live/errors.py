"""Why something could not be fetched."""

from __future__ import annotations

from cloudarb_lib.base.errors import CloudArbError


class FetchError(CloudArbError):
    """A service did not answer as it should; what was stored before stays in force.

    Parameters
    ----------
    what, way_out : str
        As for every error.
    retry_after_s : float, optional
        How long the service wants us to wait, where it says so.
    """

    exit_code = 3

    def __init__(self, what: str, way_out: str = "", *, retry_after_s: float | None = None) -> None:
        super().__init__(what, way_out)
        self.retry_after_s = retry_after_s


class TransientError(FetchError):
    """It may go better when it is asked again: a time-out, a reset, 429, 5xx, a cut body."""


class ProviderClosed(FetchError):
    """The circuit breaker of a provider is open: it is not asked for a while."""
