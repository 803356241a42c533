"""Packed files, archives and UTF-16: what sources get of them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from cloudarb_lib.base.errors import DataError
from cloudarb_lib.sources import registry, unpack
from cloudarb_lib.sources.unpack import plain_files
from cloudarb_lib.testing import PRICE_HEADER, PRICE_ROW, ingest

TEXT = (PRICE_HEADER + PRICE_ROW).encode()


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def zstd(content: bytes) -> bytes:
    return pa.Codec("zstd").compress(content, asbytes=True)


def contents(path: Path) -> dict[str, bytes]:
    with plain_files(path) as files:
        return {file.name: file.path.read_bytes() for file in files}


def brought(folder: Path, content: bytes) -> Path:
    path = folder / "brought"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("packed", [gzip.compress, bz2.compress, lzma.compress, zstd])
def test_a_packed_file_comes_out_plain(packed: Callable[[bytes], bytes], tmp_path: Path) -> None:
    assert contents(brought(tmp_path, packed(TEXT))) == {"brought": TEXT}


@pytest.mark.parametrize(
    "packed", [gzip.compress, bz2.compress, lzma.compress, zstd, lambda text: zipped({"a": text})]
)
def test_a_cut_file_is_refused(packed: Callable[[bytes], bytes], tmp_path: Path) -> None:
    noise = os.urandom(100_000).hex().encode()
    with pytest.raises(DataError, match="cannot be unpacked"):
        contents(brought(tmp_path, packed(noise)[:60_000]))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_comes_out_as_utf8(encoding: str, tmp_path: Path) -> None:
    text = "provider;région\r\na;b\n"
    assert contents(brought(tmp_path, text.encode(encoding))) == {"brought": text.encode()}
    assert contents(brought(tmp_path, gzip.compress(text.encode(encoding)))) == {
        "brought": text.encode()
    }


def test_members_of_an_archive_are_files(tmp_path: Path) -> None:
    archive = zipped(
        {
            "../../eu.csv": b"eu",
            "us/us.csv.gz": gzip.compress(b"us"),
            "__MACOSX/._eu.csv": b"litter",
            "us/.DS_Store": b"litter",
            "us/": b"",
        }
    )
    assert contents(brought(tmp_path, archive)) == {
        "brought/../../eu.csv": b"eu",
        "brought/us/us.csv.gz": b"us",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["brought"]


def test_a_workbook_stays_as_it_is(tmp_path: Path) -> None:
    workbook = zipped({"[Content_Types].xml": b"<Types/>", "xl/workbook.xml": b"<workbook/>"})
    assert contents(brought(tmp_path, workbook)) == {"brought": workbook}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (zipped({}), "without a file"),
        (zipped({"folder/": b""}), "without a file"),
        (zipped({"a": zipped({"b": zipped({"c": zipped({"d": b"x"})})})}), "times over"),
        (gzip.compress(gzip.compress(gzip.compress(gzip.compress(b"x")))), "times over"),
    ],
    ids=lambda value: value if isinstance(value, str) else "packed",
)
def test_an_archive_that_gives_no_file_is_refused(
    content: bytes, words: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=words):
        contents(brought(tmp_path, content))


def test_an_archive_with_a_password_is_refused(tmp_path: Path) -> None:
    content = bytearray(zipped({"a": TEXT}))
    content[6] |= 1  # the flag of the member, and that of the directory
    content[content.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(DataError, match="password"):
        contents(brought(tmp_path, bytes(content)))


def test_what_unpacks_beyond_reason_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpack, "FREE_BYTES", 1000)
    assert contents(brought(tmp_path, gzip.compress(TEXT)))
    for bomb in (gzip.compress(bytes(10**7)), zipped({"a": bytes(10**7), "b": bytes(10**7)})):
        with pytest.raises(DataError, match="times its size"):
            contents(brought(tmp_path, bomb))


@pytest.mark.slow
def test_an_archive_of_one_file_is_taken_in_and_one_of_two_told(tmp_path: Path) -> None:
    assert ingest(tmp_path / "s", brought(tmp_path, zipped({"a.csv": TEXT}))).new == 1
    with pytest.raises(DataError, match="several files"):
        list(registry.read(brought(tmp_path, zipped({"a.csv": TEXT, "b.csv": TEXT}))))


def test_a_member_without_a_name_is_a_file(tmp_path: Path) -> None:
    unnamed = zipped({"a.csv": TEXT}).replace(b"a.csv", b"\0.csv")  # a name ends at a zero byte
    assert contents(brought(tmp_path, unnamed)) == {"brought/": TEXT}
