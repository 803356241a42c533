"""The command line of benchmarks that take no words, or names alone."""

from __future__ import annotations

import argparse
from collections.abc import Sequence


def names_of(
    about: str, known: Sequence[str] = (), words: Sequence[str] | None = None
) -> list[str]:
    """Return the names that a command line gives, all that are known without one.

    Help, and what is no name, end the command: a benchmark takes minutes.

    Parameters
    ----------
    about : str
        What help says.
    known : sequence of str
        Names that may be given; none where the benchmark takes no words.
    words : sequence of str, optional
        Of the command line; those of the process without.
    """
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if known:
        parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}")
    given: list[str] = getattr(parser.parse_args(words), "names", [])
    unknown = [name for name in given if name not in known]
    if unknown:
        parser.error(f"{unknown[0]} is unknown. Known: {', '.join(known)}.")
    return given or list(known)
