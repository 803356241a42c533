"""Small rules for files: written whole or not at all, named by digest, free of local paths."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from cloudarb_lib.base import locations
from cloudarb_lib.base.files import replaced
from cloudarb_lib.tables import run_tables


def write_text(path: Path, text: str) -> None:
    """Write ``text`` so that a reader sees the old file or the new one, never a part."""
    with replaced(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> dict | None:
    """Return the JSON object in ``path``; None where there is none to read."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def digest(paths: Iterable[Path]) -> str:
    """Return 16 hexadecimal digits of SHA-256 over the names and bytes of files, in that order."""
    return run_tables.digest(*(part for path in paths for part in (path.name, path.read_bytes())))[
        :16
    ]


def scrub(text: str, local: Mapping[Path, str] | None = None) -> str:
    """Return ``text`` without paths of this machine: reports travel, home folders do not.

    ``local`` names folders of the caller's; then the project's root becomes nothing (paths read
    from there), the environment <python>, the home folder ~.
    """
    swaps = [(str(path), name) for path, name in (local or {}).items()]
    for ours in (locations.home(), locations.bundled()):
        swaps += [(f"{ours}/", ""), (str(ours), ".")]
    swaps += [(sys.prefix, "<python>")]
    swaps += [(sys.base_prefix, "<python>"), (os.path.expanduser("~"), "~")]
    for path, name in swaps:
        if path not in ("", "/", "/usr"):
            text = text.replace(path, name)
    return text
