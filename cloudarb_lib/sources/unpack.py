"""The plain files in what a person brings: unpacked, and text brought to UTF-8.

Sources see nothing of .gz, .zst, .zip and the like, nor of UTF-16: they get a plain file.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import pyarrow as pa

from cloudarb_lib.base.errors import DataError

PACKERS = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
"""How a packed file begins, and the name of what packed it."""
_ZIP = b"PK\x03\x04"
_EMPTY_ZIP = b"PK\x05\x06"
_WORKBOOK_PART = "[Content_Types].xml"
_LITTER = ("__MACOSX/", ".DS_Store")
"""What file managers put into an archive beside the files."""
MOST_TIMES = 400
"""How many times larger than packed a file may be, beyond ``FREE_BYTES``: a price table of one
machine repeated packs into a hundredth."""
FREE_BYTES = 2**30
_BLOCK_BYTES = 2**20
_NAME_CHARACTERS = 60
_WAY_OUT = "Unpack it yourself, and look at what it holds."
_DEEPEST = 3
_BROKEN = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,  # a password is needed
    NotImplementedError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    pa.ArrowException,
)


@dataclass(frozen=True)
class PlainFile:
    """A file that is neither packed nor UTF-16.

    Parameters
    ----------
    path : Path
        Where its content lies.
    name : str
        Its name for people: that of the file that was brought, and of the member of an archive.
    """

    path: Path
    name: str


@contextmanager
def plain_files(path: Path, scratch: Path | None = None) -> Iterator[list[PlainFile]]:
    """Give the plain files in a file, gone afterwards: itself, unpacked, or members of an archive.

    Parameters
    ----------
    path : Path
        The file; a workbook (.xlsx) counts as plain.
    scratch : Path, optional
        Folder for what is unpacked; that of the system without it.

    Raises
    ------
    DataError
        Where it cannot be unpacked to its end, holds no file, or unpacks to more than is likely.
    OSError
        Where the system cannot read it, or the disk is full.
    """
    with tempfile.TemporaryDirectory(prefix="unpacked", dir=scratch) as folder:
        most_bytes = max(FREE_BYTES, MOST_TIMES * path.stat().st_size)
        yield list(_Unpacking(Path(folder), most_bytes).plain(PlainFile(path, path.name)))


class _Unpacking:
    """What comes out of one file, all together no more than is likely.

    Parameters
    ----------
    folder : Path
        Where it is put.
    most_bytes : int
        How large it may be.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder
        self._bytes_left = most_bytes
        self._copies = 0

    def plain(self, file: PlainFile, depth: int = 0) -> Iterator[PlainFile]:
        """Yield the plain files in a file, packed ones in archives too."""
        if depth > _DEEPEST:  # there are archives that hold themselves
            raise DataError(f"it is packed more than {_DEEPEST} times over.", _WAY_OUT)
        with file.path.open("rb") as opened:
            head = opened.read(16)
        packer = next((name for mark, name in PACKERS.items() if head.startswith(mark)), None)
        if packer:
            yield from self.plain(PlainFile(self._unpacked(file, packer), file.name), depth + 1)
        elif head.startswith((_ZIP, _EMPTY_ZIP)):
            yield from self._members(file, depth)
        elif encoding := _utf16(head):
            yield PlainFile(self._recoded(file, encoding), file.name)
        else:
            yield file

    def _members(self, file: PlainFile, depth: int) -> Iterator[PlainFile]:
        """Yield the plain files of an archive; a workbook is one itself."""
        with _told_as_unpacking("zip"), zipfile.ZipFile(file.path) as archive:
            if _WORKBOOK_PART in archive.namelist():
                yield file
                return
            members = [
                member
                for member in archive.infolist()
                if not member.filename.endswith("/")  # is_dir() breaks where there is no name
                and not any(litter in member.filename for litter in _LITTER)
            ]
            if not members:
                raise DataError("it is an archive without a file.", _WAY_OUT)
            for member in members:
                with archive.open(member) as packed:
                    copy = self._copied(packed, Path(member.filename))
                yield from self.plain(PlainFile(copy, f"{file.name}/{member.filename}"), depth + 1)

    def _unpacked(self, file: PlainFile, packer: str) -> Path:
        """Return an unpacked copy of a packed file."""
        with _told_as_unpacking(packer), _opened(file.path, packer) as packed:
            return self._copied(packed, file.path)

    def _copied(self, packed: IO[bytes], called: Path) -> Path:
        """Return a copy of a stream; DataError where all copies grow beyond what is likely."""
        target = self._new_file(called)
        with target.open("wb") as copy:
            while block := packed.read(_BLOCK_BYTES):
                copy.write(block)
                self._bytes_left -= len(block)
                if self._bytes_left < 0:
                    what = f"it unpacks to more than {MOST_TIMES} times its size, as no table does."
                    raise DataError(what, _WAY_OUT)
        return target

    def _recoded(self, file: PlainFile, encoding: str) -> Path:
        """Return a copy of a text in UTF-8, its line ends kept."""
        target = self._new_file(file.path)
        with (
            file.path.open(encoding=encoding, errors="replace", newline="") as text,
            target.open("w", encoding="utf-8", newline="") as copy,
        ):
            shutil.copyfileobj(text, copy, _BLOCK_BYTES)
        return target

    def _new_file(self, called: Path) -> Path:
        """Return a path with the name of a file and its folder: some sources go by them."""
        self._copies += 1
        parent = called.parent.name.strip(".")[-_NAME_CHARACTERS:] or "_"
        folder = self._folder / str(self._copies) / parent
        folder.mkdir(parents=True)
        return folder / (called.name[-_NAME_CHARACTERS:] or "_")


@contextmanager
def _told_as_unpacking(packer: str) -> Iterator[None]:
    """Turn what a broken file raises into a DataError; faults of the system stay what they are."""
    try:
        yield
    except _BROKEN as cause:
        if isinstance(cause, OSError) and cause.errno:
            raise
        raise DataError(f"it cannot be unpacked as {packer}: {cause}.", _WAY_OUT) from cause


def _opened(path: Path, packer: str) -> IO[bytes]:
    """Return the unpacked bytes of a file as a stream."""
    match packer:
        case "gzip":
            return cast(IO[bytes], gzip.open(path))
        case "bzip2":
            return cast(IO[bytes], bz2.open(path))
        case "xz":
            return cast(IO[bytes], lzma.open(path))
        case _:
            return cast(IO[bytes], pa.CompressedInputStream(pa.OSFile(str(path)), packer))


def _utf16(head: bytes) -> str:
    """Return the encoding of UTF-16 text, '' of other files; texts of ours begin with ASCII."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if len(head) >= 4 and head[0] and head[2] and not head[1] and not head[3]:
        return "utf-16-le"
    if len(head) >= 4 and head[1] and head[3] and not head[0] and not head[2]:
        return "utf-16-be"
    return ""
