"""How hard each provider may be asked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What bounds the requests to a provider.

    Parameters
    ----------
    concurrent : int
        Requests under way at once.
    per_second : float
        Requests begun a second, on average.
    attempts : int
        How often a request is tried in all where it fails for a passing cause.
    timeout_s : float
        Seconds for one attempt, its body included.
    download_timeout_s : float
        The same for what is streamed into a file.
    first_wait_s, longest_wait_s : float
        Wait before the second attempt, doubled for each one after it, up to the longest; a
        provider that asks for a longer wait than that is left alone for this cycle.
    failures_to_open : int
        Requests that fail for good in a row until the circuit breaker opens.
    open_s : float
        Seconds until it lets a request through again.
    parts : int
        Parts fetched at once.
    part_timeout_s : float
        Seconds for one part, all its requests and waits included.
    largest_body : int
        Bytes; a larger body is refused, unless it is streamed into a file.
    """

    concurrent: int = 4
    per_second: float = 5.0
    attempts: int = 5
    timeout_s: float = 60.0
    download_timeout_s: float = 900.0
    first_wait_s: float = 0.5
    longest_wait_s: float = 90.0
    failures_to_open: int = 5
    open_s: float = 120.0
    parts: int = 8
    part_timeout_s: float = 1800.0
    largest_body: int = 64 * 2**20


BY_PROVIDER = {
    "aws": Limits(concurrent=8, per_second=20.0, parts=32),
    "azure": Limits(concurrent=2, per_second=2.0, first_wait_s=2.0),  # a 429 wants about 30 s
    "gcp": Limits(concurrent=2, per_second=5.0),
}
"""Others have the limits of ``Limits()``."""


def limits_of(provider: str) -> Limits:
    """Return the limits of a provider."""
    return BY_PROVIDER.get(provider, Limits())
