"""What came of the files of one call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cloudarb_lib.base.errors import DataError
from cloudarb_lib.store.batch import Batch
from cloudarb_lib.store.checks.flags import FlagChanges
from cloudarb_lib.store.merge import MergeCounts

_HOW_TO_READ_QUARANTINE = "what was quarantined: cloudarb quarantine list --all shows it"


@dataclass(frozen=True)
class FileCounts:
    """What came of the rows of one file, counted as in ``IngestReport``."""

    read: int
    new: int
    unchanged: int
    superseded: int
    quarantined: int


@dataclass
class IngestReport:
    """Counts of one call: ``read`` = ``new`` + ``unchanged`` + ``superseded`` + ``quarantined``.

    Parameters
    ----------
    quarantined : Counter
        Rows by reason.
    examples : dict
        By reason, the first sentence on a row that was held back.
    withdrawn : int
        Offers that a file lacks of a part of the market that it shows whole.
    not_listed : int
        Places in which a machine is not listed any more, by lists of what is sold that are whole.
    flagged : Counter
        By source, the prices that the call brought and that were found wrong.
    flagged_stored : Counter
        By source, the prices stored before that are found wrong now.
    right_again : int
        Prices stored before that had been found wrong, and are not any more.
    unjudged : list of str
        Sentences on new prices of GPUs that nobody else sells, so that no peer judges them.
    notices : list of str
        What whoever brought the files should know.
    unknown_names : list of str
        Sentences on names of the files that nothing is known of, and the rows that this concerns.
    nothing_landed : list of str
        Names of the files of which every row was held back.
    files : list of pair of Batch and FileCounts
        Each file that was taken in, and what came of it.
    digest : str
        Name of the snapshot in force afterwards.
    published : bool
        Whether that is a new one.
    """

    read: int = 0
    new: int = 0
    unchanged: int = 0
    superseded: int = 0
    withdrawn: int = 0
    not_listed: int = 0
    quarantined: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    flagged: Counter[str] = field(default_factory=Counter)
    flagged_stored: Counter[str] = field(default_factory=Counter)
    right_again: int = 0
    unjudged: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    unknown_names: list[str] = field(default_factory=list)
    nothing_landed: list[str] = field(default_factory=list)
    files: list[tuple[Batch, FileCounts]] = field(default_factory=list)
    digest: str = ""
    published: bool = False

    def add(self, batch: Batch, read: int, counts: MergeCounts, held_back: Counter[str]) -> None:
        """Count a file that was taken in."""
        of_file = FileCounts(
            read, counts.new, counts.unchanged, counts.superseded, held_back.total()
        )
        self.files.append((batch, of_file))
        self.read += read
        self.new += counts.new
        self.unchanged += counts.unchanged
        self.superseded += counts.superseded
        self.quarantined += held_back

    def say(self, notice: str) -> None:
        """Add a notice, once."""
        if notice not in self.notices:
            self.notices.append(notice)

    def tell_flags(self, changes: FlagChanges) -> None:
        """Take over what the call changed in table ``flags``."""
        self.flagged.update(changes.brought)
        self.flagged_stored.update(changes.stored)
        self.right_again = changes.right_again

    def __str__(self) -> str:
        reasons = _listed(self.quarantined)
        text = (
            f"read {self.read:,}: new {self.new:,}, unchanged {self.unchanged:,}, "
            f"superseded {self.superseded:,}, quarantined {self.quarantined.total():,}"
        )
        if reasons:
            text += f" ({reasons})"
        if self.withdrawn:
            text += f", withdrawn {self.withdrawn:,}"
        if self.not_listed:
            text += f", not listed any more {self.not_listed:,}"
        if self.flagged:
            text += f", flagged as wrong: {_listed(self.flagged)} (cloudarb quarantine list)"
        if self.flagged_stored:
            text += f", of prices stored before flagged now: {_listed(self.flagged_stored)}"
            text += " (cloudarb quarantine list)"
        if self.right_again:
            text += f", flagged before and right now: {self.right_again:,}"
        lines = [text, *self.notices, *self.unknown_names, *self.unjudged]
        lines += [f"{reason}: {sentence}" for reason, sentence in sorted(self.examples.items())]
        lines += [f"{name}: nothing landed" for name in self.nothing_landed]
        if reasons and self.published:
            lines.append(_HOW_TO_READ_QUARANTINE)
        end = "" if self.published else " (nothing changed)"
        return "\n".join([*lines, f"snapshot {self.digest}{end}"])


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))


class RefusedFiles(DataError):
    """Files that were refused whole, and why; the others have landed.

    Parameters
    ----------
    refused : dict of Path to DataError
        By file, one at least.
    report : IngestReport
        What came of the others.
    """

    def __init__(self, refused: Mapping[Path, DataError], report: IngestReport) -> None:
        what = " ".join(f"{path} was refused: {error.what}" for path, error in refused.items())
        if report.files:
            what += f" The other files were taken in: {report}."
        super().__init__(what, next(iter(refused.values())).way_out)
        self.refused = dict(refused)
        self.report = report
