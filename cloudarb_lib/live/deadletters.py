"""What failed for good is taken up again: fetched anew, or read anew from what is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.live.collect import Collector, Wanted
from cloudarb_lib.live.entries import DeadLetter
from cloudarb_lib.live.feed import Part
from cloudarb_lib.live.fetching import WHOLE_FEED, Fetched
from cloudarb_lib.live.journal import Journal
from cloudarb_lib.live.summary import CycleReport


def letters(journal: Journal, numbers: Sequence[int] = ()) -> list[DeadLetter]:
    """Return open dead letters, each where no number is given.

    Raises
    ------
    ParameterError
        Names a number that no open letter has.
    """
    found = journal.dead_letters()
    for number in numbers:
        if number not in {letter.number for letter in found}:
            raise ParameterError(
                f"no open dead letter {number}.", "cloudarb deadletter list shows them."
            )
    return [letter for letter in found if not numbers or letter.number in numbers]


def retry(
    collector: Collector,
    wanted: Wanted,
    numbers: Sequence[int] = (),
    *,
    confirmed: bool = False,
    on_part: Callable[[Fetched], None] = lambda _: None,
) -> CycleReport:
    """Take up dead letters: an answer that is held is read anew, one that lacks is fetched anew.

    Parameters
    ----------
    collector : Collector
        With the feeds of the letters.
    wanted : Wanted
        As for a cycle.
    numbers : sequence of int
        Letters; empty: each open one.
    confirmed : bool
        Whether a person looked at what is held and found it right.

    on_part : callable
        Is told of each part when it was fetched.

    Raises
    ------
    ParameterError
        Names a number that no open letter has.
    """
    parts: dict[str, list[Part] | None] = {}
    for letter in letters(collector.journal, numbers):
        if letter.fault.response is not None:
            collector.journal.take_up(letter.fault.response, confirmed=confirmed)
        elif letter.part.name == WHOLE_FEED.name:
            parts[letter.feed] = None
        else:
            known = parts.setdefault(letter.feed, [])
            if known is not None:
                known.append(letter.part)
    return collector.cycle(wanted, parts=parts, on_part=on_part)
