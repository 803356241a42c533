"""The second half of a cycle: what was fetched is checked, and taken in as one snapshot."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from cloudarb_lib.base.errors import DataError
from cloudarb_lib.live.entries import Fault, Response
from cloudarb_lib.live.integrity import UNREADABLE, Examined, Finding, disappearances, examine
from cloudarb_lib.live.journal import HELD, STORED, Journal
from cloudarb_lib.live.raw import RawFiles
from cloudarb_lib.live.set_aside import SetAside
from cloudarb_lib.sources.base import Scope
from cloudarb_lib.store.batch import Batch
from cloudarb_lib.store.entry import ingest_files, store_folder
from cloudarb_lib.store.report import FileCounts, RefusedFiles
from cloudarb_lib.store.snapshot import Snapshot, current

EMPTY = "empty"
_EMPTY_WAY_OUT = "What was on sale stays so; look at what the service answers."


@dataclass(frozen=True)
class Outcome:
    """What became of a response.

    Parameters
    ----------
    response : Response
        The response.
    rows, changed, unchanged, held : int
        Its rows: read, new or corrected, stored alike, held back with a reason.
    finding : Finding, optional
        Why it was not taken in, or not as it came; None where all is well.
    stored : bool
        Whether its good rows are in the store.
    """

    response: Response
    rows: int = 0
    changed: int = 0
    unchanged: int = 0
    held: int = 0
    finding: Finding | None = None
    stored: bool = True


@dataclass
class Publication:
    """What a call took in, and the snapshot in force afterwards ('' where there is none)."""

    outcomes: list[Outcome] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    digest: str = ""
    published: bool = False


class Publisher:
    """Takes responses into a store.

    Parameters
    ----------
    journal : Journal
        Where it is noted what became of them.
    raw : RawFiles
        Where their bytes lie.
    store_dir : str or Path
        Folder of the store; '' means data/store.
    sources : dict of str to str
        By name of a feed, the source that reads its files.
    """

    def __init__(
        self, journal: Journal, raw: RawFiles, store_dir: str | Path, sources: Mapping[str, str]
    ) -> None:
        self._journal = journal
        self._raw = raw
        self._store_dir = store_dir
        self._sources = sources

    def publish(
        self, responses: Sequence[Response], now: pd.Timestamp, *, settle: bool = True
    ) -> Publication:
        """Check responses and take the good ones in, as one new snapshot.

        Parameters
        ----------
        responses : sequence of Response
            What was fetched.
        now : Timestamp
            Time of ingestion, in UTC.
        settle : bool
            Whether to note in the journal what became of them; not so for another store.

        Raises
        ------
        StoreError
            Where the store cannot be written; the responses wait as before.
        """
        before = current(store_folder(self._store_dir))
        publication = Publication(digest=before.stem if before else "")
        with self._raw.scratch() as folder:
            examined, unsure = self._examine(responses, before, folder)
            good = [one for one in examined if one.finding is None and one.rows]
            batches = {one.response.number: self._batch(one, unsure) for one in good}
            counts, refused = self._ingest(batches, now, publication)
        for one in examined:
            of_file = counts.get(one.response.number)
            error = refused.get(self._path(one.response))
            publication.outcomes.append(_outcome(one, of_file, error, unsure))
        if settle:
            self._settle(publication.outcomes, now)
        return publication

    def _path(self, response: Response) -> Path:
        return self._raw.path(response.file.sha256, response.file.suffix)

    def _examine(
        self, responses: Sequence[Response], before: Path | None, folder: Path
    ) -> tuple[list[Examined], Mapping[Scope, Finding]]:
        """Read the responses; return them, and the scopes that must not be withdrawn unasked."""
        examined = []
        with ExitStack() as stack:
            snapshot = stack.enter_context(Snapshot(before)) if before else None
            for response in responses:
                one = examine(
                    response,
                    self._path(response),
                    self._sources.get(response.feed, ""),
                    snapshot,
                    aside=SetAside(folder / str(response.number)),
                )
                is_doubted = one.finding is not None and one.finding.reason != UNREADABLE
                if response.confirmed and is_doubted:
                    one = replace(one, finding=None)
                examined.append(one)
            judged = [one for one in examined if not (one.response.confirmed or one.finding)]
            unsure = disappearances(judged, snapshot)
        return examined, unsure

    def _batch(self, one: Examined, unsure: Collection[Scope]) -> Batch:
        response = one.response
        whole = tuple(scope for scope in one.whole if response.confirmed or scope not in unsure)
        return Batch(
            self._path(response),
            seen_at=response.seen_at,
            whole=whole,
            confirmed=response.confirmed,
            look=response.look,
            pieces=one.pieces,
        )

    def _ingest(
        self, batches: Mapping[int, Batch], now: pd.Timestamp, publication: Publication
    ) -> tuple[Mapping[int, FileCounts], Mapping[Path, DataError]]:
        """Take batches in; return what came of each response, and by file why it was refused."""
        if not batches:
            return {}, {}
        refused: Mapping[Path, DataError] = {}
        try:
            report = ingest_files(list(batches.values()), store_dir=self._store_dir, now=now)
        except RefusedFiles as error:
            report = error.report
            refused = error.refused
        publication.notices += report.notices
        publication.digest = report.digest
        publication.published = report.published
        by_batch = {id(batch): counts for batch, counts in report.files}
        counts = {n: by_batch[id(b)] for n, b in batches.items() if id(b) in by_batch}
        return counts, refused

    def _settle(self, outcomes: Sequence[Outcome], now: pd.Timestamp) -> None:
        """Note what became of the responses, with a dead letter for each that is held."""
        with self._journal.at_once():
            for outcome in outcomes:
                response = outcome.response
                finding = outcome.finding
                self._journal.settle([response.number], HELD if finding else STORED, now)
                if finding is not None:
                    fault = Fault(finding.reason, finding.what, finding.way_out, response.number)
                    self._journal.bury(response.feed, response.part, fault, now)
                elif response.complete:
                    self._journal.mended(response.feed, response.part.name, now)


def _outcome(
    one: Examined,
    counts: FileCounts | None,
    refused: DataError | None,
    unsure: Mapping[Scope, Finding],
) -> Outcome:
    """Return what became of a response."""
    response = one.response
    if one.finding is not None:
        return Outcome(response, one.rows, finding=one.finding, stored=False)
    if not one.rows:
        finding = Finding(EMPTY, "the answer has no row.", _EMPTY_WAY_OUT) if one.whole else None
        return Outcome(response, finding=finding, stored=False)
    if counts is None:
        what = refused.what if refused else "the store did not take it in."
        way_out = refused.way_out if refused else ""
        finding = Finding(UNREADABLE, what, way_out)
        return Outcome(response, one.rows, finding=finding, stored=False)
    return Outcome(
        response,
        rows=counts.read,
        changed=counts.new + counts.superseded,
        unchanged=counts.unchanged,
        held=counts.quarantined,
        finding=next((unsure[scope] for scope in one.whole if scope in unsure), None),
    )
