"""A page as PDF, printed by the browser of the machine where there is one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cloudarb_lib.base.files import replaced

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_S = 60.0
_LINK_TO_FILE = re.compile(r'''(<a\b[^>]*?)\shref="(?!https?:|#)[^"]*"''')
_SETTLED_MS = 4000
"""Of the browser's own clock, which it need not wait for: figures are drawn by then."""


def write_pdf(page: Path, name: str) -> str | None:
    """Print a page into a PDF beside it; without a browser there is none.

    Parameters
    ----------
    page : Path
        The page; where it does not exist, an older PDF goes.
    name : str
        Of the PDF.

    Returns
    -------
    str or None
        ``name``, where the PDF was written.
    """
    target = page.parent / name
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None or not page.exists():
        target.unlink(missing_ok=True)
        return None
    try:
        with (
            replaced(target) as unfinished,
            tempfile.TemporaryDirectory() as profile,
            _without_links(page) as printed,
        ):
            to_pdf = f"--print-to-pdf={unfinished}"
            command = [browser, *_options(profile), to_pdf, printed.as_uri()]
            done = subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=True)
            if not unfinished.exists() or not unfinished.stat().st_size:
                raise subprocess.SubprocessError(done.stderr.decode(errors="replace")[-200:])
    except (OSError, subprocess.SubprocessError) as fault:
        print(f"{name} was not printed: {fault}", file=sys.stderr)
        return None
    return name


@contextmanager
def _without_links(page: Path) -> Iterator[Path]:
    """Yield a copy of a page without links to other files.

    A browser prints such a link as a whole path of this machine, which leads nowhere on another.
    """
    copy = page.with_name(f".print-{page.name}")
    text = page.read_text(encoding="utf-8")
    try:
        copy.write_text(_LINK_TO_FILE.sub(r"\1", text), encoding="utf-8")
        yield copy
    finally:
        copy.unlink(missing_ok=True)


def _options(profile: str) -> list[str]:
    """Return the options of the browser; it refuses to confine itself where it runs as root."""
    options = ["--headless", "--disable-gpu", "--no-pdf-header-footer", "--no-first-run"]
    options += [f"--user-data-dir={profile}", f"--virtual-time-budget={_SETTLED_MS}"]
    return [*options, "--no-sandbox"] if os.geteuid() == 0 else options
