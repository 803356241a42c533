"""Small rules for files: written whole or not at all, free of local paths."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloudarb_lib.base import locations
from cloudarb_lib.base.files import replaced


def write_text(path: Path, text: str) -> None:
    """Write ``text`` so that a reader sees the old file or the new one, never a part."""
    with replaced(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the JSON object in ``path``; None where there is none to read."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def scrub(text: str, local: Mapping[Path, str] | None = None) -> str:
    """Return ``text`` without paths of this machine: reports travel, home folders do not.

    Parameters
    ----------
    text : str
        What may hold such paths.
    local : mapping of Path to str, optional
        Folders of the caller's, and what to write for them. After these the project's root becomes
        nothing (paths are read from there), the environment <python>, the home folder ~.
    """
    swaps = [(str(path), name) for path, name in (local or {}).items()]
    for ours in (locations.home(), locations.bundled()):
        swaps += [(f"{ours}/", ""), (str(ours), ".")]
    swaps += [(sys.prefix, "<python>"), (sys.base_prefix, "<python>")]
    swaps.append((os.path.expanduser("~"), "~"))
    for path, name in swaps:
        if path not in ("", "/", "/usr"):
            text = text.replace(path, name)
    return text
