"""Hold the launch files of plans against SkyPilot's and dstack's own schemas, as published.

Both packages ask for other versions of packages than this project, so make an environment of its
own: ``pip install skypilot dstack``, then there ``python -m benchmarks.launch_schemas FOLDER ...``,
each a folder that ``cloudarb allocate --out`` wrote. SkyPilot's schemas are in
``sky.utils.schemas`` (Apache-2.0); dstack reads a file as
``dstack._internal.core.models.configurations.parse_apply_configuration`` does (MPL-2.0). Prints the
versions, how many files each takes, and what it says of those that it refuses; the exit code is 1
where there is one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

WRONG = ({"spot": True}, {"num_nodes": "two"}, {"nodes": -1}, {"name": 7})
"""Changes of a whole file, one of which at least each schema must refuse, or it judges nothing."""


def skypilot() -> Callable[[dict[str, Any]], None]:
    """Return what raises for a task that SkyPilot refuses."""
    import jsonschema
    from sky.utils import schemas

    def check(task: dict[str, Any]) -> None:
        jsonschema.validate(task, schemas.get_task_schema())
        jsonschema.validate(task.get("resources", {}), schemas.get_resources_schema())

    return check


def dstack() -> Callable[[dict[str, Any]], None]:
    """Return what raises for a configuration that dstack refuses."""
    from dstack._internal.core.models.configurations import parse_apply_configuration

    def check(configuration: dict[str, Any]) -> None:
        parse_apply_configuration(configuration)

    return check


LAUNCHERS = {"skypilot": (skypilot, "sky/*.yaml"), "dstack": (dstack, "dstack/*.dstack.yml")}


def refused(check: Callable[[dict[str, Any]], None], content: dict[str, Any]) -> str:
    """Return what a launcher says of a file; empty where it takes it."""
    try:
        check(content)
    except Exception as error:  # of the launchers' own kinds
        return f"{type(error).__name__}: {str(error).splitlines()[0]}"
    return ""


def main(folders: list[str]) -> int:
    if not folders:
        print(__doc__, file=sys.stderr)
        return 2
    faults = 0
    for name, (load, pattern) in LAUNCHERS.items():
        check = load()
        files = [file for folder in folders for file in sorted(Path(folder).glob(pattern))]
        contents = {file: yaml.safe_load(file.read_text(encoding="utf-8")) for file in files}
        found = {file: words for file in files if (words := refused(check, contents[file]))}
        print(f"{name} {version(name)} takes {len(files) - len(found)} of {len(files)} files")
        for file, words in found.items():
            print(f"  {file}: {words}")
        judges = all(
            any(refused(check, each | wrong) for wrong in WRONG) for each in contents.values()
        )
        if not judges:
            print(f"  {name} takes wrong files too: this judges nothing")
        faults += len(found) + (not judges) + (not files)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
