"""Whether results can be written where a person wants them: known before they are looked for."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cloudarb_lib.base.errors import ParameterError


def refuse_unwritable(
    out: Path, *, inner_folders: Sequence[str] = (), files: Sequence[str] = ()
) -> None:
    """Raise where results could not be written, before they are looked for.

    Parameters
    ----------
    out : Path
        The folder, which need not exist.
    inner_folders, files : sequence of str
        What is written into it, by name.

    Raises
    ------
    ParameterError
        For a file where a folder should be, or a folder where a file should be, and for a folder
        that this user may not write into.
    """
    try:
        _refuse_what_is_in_the_way(out, inner_folders, files)
        _try_to_write(out)
    except OSError as cause:
        raise ParameterError(
            f"--out: nothing can be written into {out} ({cause.strerror}).",
            "Name a folder that you may write into.",
        ) from cause


def _try_to_write(out: Path) -> None:
    """Write into a folder what goes again, and so do the folders made for it."""
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    finally:
        for folder in made:  # the innermost first
            with contextlib.suppress(OSError):
                folder.rmdir()


def _refuse_what_is_in_the_way(
    out: Path, inner_folders: Sequence[str], files: Sequence[str]
) -> None:
    """Raise ParameterError for a file where a folder should be, and the other way round."""
    for folder in (out, *(out / name for name in inner_folders)):
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not there.is_dir():
            raise ParameterError(f"--out {there} is a file.", "Name a folder.")
        if not os.access(there, os.W_OK | os.X_OK):
            raise ParameterError(
                f"--out: nothing can be written into {there}.",
                "Name a folder that you may write into.",
            )
    for name in files:
        if (out / name).is_dir():
            raise ParameterError(f"--out: {out / name} is a folder.", "Name another folder.")
