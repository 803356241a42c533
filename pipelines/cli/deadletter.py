"""``cloudarb deadletter``: what could not be collected, and how it is taken up again."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.cli.live import EndpointOption, endpoints_of, environment, shown_progress, utc_now
from pipelines.cli.options import StoreOption
from pipelines.exit_codes import DONE

Numbers = Annotated[list[int], typer.Argument(metavar="NUMBER", help="as listed")]


def deadletter_list(store: StoreOption = "") -> int:
    """List what could not be collected.

    A part that could not be fetched, an answer that no source can read, or one that a check holds:
    most prices moved at once, most offers are missing, or there is nothing in it. Each with the
    reason, the file of the answer and the way out.
    """
    from cloudarb_lib.live.collect import collection_folder
    from cloudarb_lib.live.journal import Journal
    from cloudarb_lib.live.raw import RawFiles

    folder = collection_folder(store)
    if not folder.exists():
        print("nothing was collected yet")
        return DONE
    with Journal(folder / "journal.sqlite") as journal:
        letters = journal.dead_letters()
        answers = [journal.response(letter.fault.response) for letter in letters]
    raw = RawFiles(folder / "raw")
    for letter, answer in zip(letters, answers, strict=True):
        place = f"{letter.feed} {letter.part.name}".rstrip()
        tries = "once" if letter.tries == 1 else f"{letter.tries} times"
        since = letter.first_at.strftime("%Y-%m-%d %H:%M")
        print(f"{letter.number}  {place}, {tries} since {since}: {letter.fault.what}")
        if answer is not None:
            print(f"      answer: {raw.path(answer.file.sha256, answer.file.suffix)}")
        if letter.fault.way_out:
            print(f"      -> {letter.fault.way_out}")
    print(f"{len(letters)} open")
    return DONE


def deadletter_retry(
    numbers: Annotated[
        list[int] | None, typer.Argument(metavar="NUMBER", help="as listed  [default: each]")
    ] = None,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="the answers were looked at and are right")
    ] = False,
    endpoint: EndpointOption = None,
    store: StoreOption = "",
) -> int:
    """Fetch again what could not be fetched, and read again what is held.

    With --confirm an answer that a check holds is taken in as it is, withdrawals included.
    """
    from cloudarb_lib.live import deadletters
    from cloudarb_lib.live.collect import Wanted, opened
    from cloudarb_lib.live.registry import registered

    wanted = Wanted(endpoints=endpoints_of(endpoint), environment=environment())
    with opened(store, registered(), clock=utc_now) as collector, shown_progress() as on_part:
        report = deadletters.retry(
            collector, wanted, numbers or (), confirmed=confirm, on_part=on_part
        )
        still_open = len(collector.journal.dead_letters())
    print(report)
    print(f"{still_open} open")
    return DONE


def deadletter_drop(numbers: Numbers, store: StoreOption = "") -> int:
    """Close dead letters that nobody will mend.

    What they hold is never taken in, and its file goes when its time is over.
    """
    from cloudarb_lib.live import deadletters
    from cloudarb_lib.live.collect import opened

    with opened(store, [], clock=utc_now) as collector:
        for letter in deadletters.letters(collector.journal, numbers):
            collector.journal.drop(letter.number, utc_now())
        print(f"{len(collector.journal.dead_letters())} open")
    return DONE
