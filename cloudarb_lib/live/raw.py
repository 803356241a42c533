"""What services answered, kept as files that are named by the digest of their bytes."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

_COMPRESSED = (".zip", ".gz", ".parquet", ".xlsx")
"""Endings of files that compression makes no smaller."""
_LEVEL = 3


@dataclass(frozen=True)
class RawFile:
    """A kept file.

    Parameters
    ----------
    sha256 : str
        Of its bytes as they lie on the disk: what ``ingest_log`` says of it.
    suffix : str
        Ending of its name, with that of the compression.
    size : int
        In bytes.
    """

    sha256: str
    suffix: str
    size: int


class RawWriter:
    """A file that bodies are added to, one after another."""

    def __init__(self, file: BinaryIO, *, compress: bool) -> None:
        self.bodies = 0
        self._ends_line = True
        self._file = file
        # no name and no time in its head, so that the same bodies give the same bytes
        self._sink = cast(
            BinaryIO, gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) if compress else file
        )

    async def add(self, body: bytes | Path) -> None:
        """Add a body, or a file, which is removed; a line break parts it from the one before."""
        await asyncio.to_thread(self._add, body)

    def _add(self, body: bytes | Path) -> None:
        if not self._ends_line:
            self._sink.write(b"\n")
        if isinstance(body, Path):
            with body.open("rb") as file:
                shutil.copyfileobj(file, self._sink, 2**20)
                self._ends_line = _last_byte(file) in (b"", b"\n")
            body.unlink()
        else:
            self._sink.write(body)
            self._ends_line = body[-1:] in (b"", b"\n")
        self.bodies += 1

    def finish(self) -> None:
        """Wait until all of it is on the disk."""
        if self._sink is not self._file:
            self._sink.close()
        self._file.flush()
        os.fsync(self._file.fileno())


def _last_byte(file: BinaryIO) -> bytes:
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - 1))
    return file.read(1)


class RawFiles:
    """The folder of what services answered.

    Parameters
    ----------
    folder : Path
        Made if need be.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.incoming = folder / "incoming"
        """Where unfinished files lie; one process writes at a time."""
        self.incoming.mkdir(parents=True, exist_ok=True)

    def clear_incoming(self) -> None:
        """Remove what a process that was killed left unfinished."""
        for path in self.incoming.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Yield a folder that is gone afterwards."""
        with tempfile.TemporaryDirectory(dir=self.incoming) as folder:
            yield Path(folder)

    @contextmanager
    def writer(self, suffix: str) -> Iterator[tuple[RawWriter, Path]]:
        """Yield a writer, and its unfinished file, which is gone afterwards unless it was kept."""
        compress = suffix not in _COMPRESSED
        with tempfile.NamedTemporaryFile(dir=self.incoming, delete=False) as file:
            path = Path(file.name)
            try:
                yield RawWriter(cast(BinaryIO, file), compress=compress), path
            finally:
                path.unlink(missing_ok=True)

    def keep(self, unfinished: Path, suffix: str) -> RawFile:
        """Move a finished file to where its digest says; what is there already stays."""
        with unfinished.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        ending = suffix if suffix in _COMPRESSED else f"{suffix}.gz"
        kept = RawFile(sha256, ending, unfinished.stat().st_size)
        path = self.path(kept.sha256, kept.suffix)
        path.parent.mkdir(exist_ok=True)
        os.replace(unfinished, path)
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
        return kept

    def path(self, sha256: str, suffix: str) -> Path:
        """Return where a file lies; it may have been removed since."""
        return self._folder / sha256[:2] / f"{sha256}{suffix}"

    def remove(self, sha256: str, suffix: str) -> None:
        """Remove a file; one that is not there is no fault."""
        self.path(sha256, suffix).unlink(missing_ok=True)
