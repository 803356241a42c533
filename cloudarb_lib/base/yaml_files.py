"""YAML files that people write: read safely, and the line of every value known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import ConstructorError

from cloudarb_lib.base import locations
from cloudarb_lib.base.errors import ParameterError


@dataclass(frozen=True)
class YamlFile:
    """The mapping that a YAML file holds, and the lines of what stands in it.

    Parameters
    ----------
    name : str
        Name of the file, without its folder.
    values : dict
        The mapping: key to value.
    root : yaml.MappingNode
        The same as it was parsed, with lines.
    elsewhere : dict of str to str
        Keys whose values were put in place of the file's, and what to call where they come from.
    """

    name: str
    values: dict[str, object]
    root: yaml.MappingNode
    elsewhere: dict[str, str] = field(default_factory=dict)

    def where(self, *keys: object) -> str:
        """Say where a value stands, such as 'demand.yaml, line 5'.

        Parameters
        ----------
        *keys : str or int
            The way to the value, by keys and indices (from 0): ``"demand", 0, "needs"``.

        Returns
        -------
        str
            File and line. What has no line of its own (a key that is missing) has that of what
            should hold it.
        """
        if keys and str(keys[0]) in self.elsewhere:
            return self.elsewhere[str(keys[0])]
        node: Any = self.root
        line = node.start_mark.line
        for key in keys:
            entry = _entry(node, str(key))
            if entry is None:
                break
            line, node = entry
        return f"{self.name}, line {line + 1}"

    def with_values(self, changes: Mapping[str, object], option: str) -> YamlFile:
        """Return the file with other values of its own keys, or of further ones.

        Parameters
        ----------
        changes : mapping of str to object
            Keys and their values.
        option : str
            What gave them, such as ``--set``: where the file would be named with its line, it is
            ``--set KEY``.
        """
        return replace(
            self,
            values={**self.values, **changes},
            elsewhere={**self.elsewhere, **{key: f"{option} {key}" for key in changes}},
        )


def _entry(node: Any, key: str) -> tuple[int, yaml.Node] | None:
    """Return line (from 0) and value of an entry of a mapping or a list; None where it has none."""
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if str(name.value) == key:
                return name.start_mark.line, value
    if isinstance(node, yaml.SequenceNode):
        for item in node.value[int(key) : int(key) + 1]:
            return item.start_mark.line, item
    return None


def read_yaml(path: str | Path, ours: str) -> YamlFile:
    """Read a YAML file that holds a mapping.

    Parameters
    ----------
    path : str or Path
        The file; from the current folder, else as ``locations.find`` finds it.
    ours : str
        Pattern of the files of that kind that come with the program, such as
        ``data/demand*.yaml``: they are named where the file does not exist. '': none do.

    Returns
    -------
    YamlFile
        What it holds, and where.

    Raises
    ------
    ParameterError
        With the line, where it is not YAML, not a mapping, or a key of a mapping repeats.
    """
    path = Path(path)
    if not path.exists() and locations.find(path).exists():
        path = locations.find(path)
    try:
        loader = _Loader(path.read_text(encoding="utf-8"))
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            raise ParameterError(f"{path.name} holds no 'key: value' lines.")
        values = {str(key): value for key, value in loader.construct_document(root).items()}
        return YamlFile(path.name, values, root)
    except FileNotFoundError as cause:
        if not ours:
            raise ParameterError(f"no file {path}.", "Check the path.") from cause
        folder = locations.bundled()
        names = sorted(str(example.relative_to(folder)) for example in folder.glob(ours))
        raise ParameterError(f"no file {path}.", f"There are {', '.join(names)}.") from cause
    except yaml.MarkedYAMLError as cause:
        line = cause.problem_mark.line + 1 if cause.problem_mark else 1
        what = f"{path.name}, line {line}: {cause.problem}."
        raise ParameterError(what, "Mend the YAML there.") from cause
    except (yaml.YAMLError, UnicodeError, OSError) as cause:
        raise ParameterError(f"{path.name} is not readable as YAML: {cause}.") from cause


class _Loader(yaml.SafeLoader):
    """Refuses a key that repeats, and gives the line of a value that cannot be (2026-02-30)."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if isinstance(node, yaml.MappingNode):
            _refuse_repeated_keys(node)
        try:
            return super().construct_object(node, deep)
        except ValueError as cause:
            raise ConstructorError(problem=str(cause), problem_mark=node.start_mark) from cause


def _refuse_repeated_keys(mapping: yaml.MappingNode) -> None:
    """Raise where a key stands twice: YAML itself would drop the first."""
    keys: dict[str, yaml.Node] = {}
    for key, _ in mapping.value:
        first = keys.setdefault(str(key.value), key)
        if first is not key:
            problem = f"{key.value!r} stands in line {first.start_mark.line + 1} already"
            raise ConstructorError(problem=problem, problem_mark=key.start_mark)
