"""YAML files that people write: read safely, each value with the line it stands in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cloudarb_lib.errors import ParameterError
from cloudarb_lib.handover import PROJECT


def read_yaml(path: str | Path, ours: str) -> tuple[dict[str, object], Callable[..., str]]:
    """Return the mapping that a YAML file holds, and ``where``, which says where a value stands.

    ``where("demand", 0, "needs")`` is 'demand.yaml, line 5', by keys and indices (from 0); what has no line of
    its own (a key that is missing) has that of what should hold it, what an alias repeats that of its anchor. ``ours`` is the
    pattern of our own files of that kind from the project's root, named where the file does not exist.
    ParameterError with the line where it is not YAML, not a mapping, or a key of a mapping repeats.
    """
    import yaml

    path, loader = Path(path), yaml.SafeLoader("")
    lines: dict[tuple[str, ...], int] = {}
    seen: set[int] = set()

    def where(*keys: object) -> str:
        at = tuple(map(str, keys))
        while at not in lines:
            at = at[:-1]
        return f"{path.name}, line {lines[at]}"

    def walk(node: yaml.Node, at: tuple[str, ...]) -> None:
        lines.setdefault(at, node.start_mark.line + 1)
        if id(node) in seen:
            return  # an alias, which may hold itself
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                inner, line = (*at, str(key.value)), key.start_mark.line + 1
                if inner in lines:
                    raise ParameterError(
                        f"{path.name}, line {line}: {key.value!r} stands in line {lines[inner]} already."
                    )
                lines[inner] = line
                walk(value, inner)
        elif isinstance(node, yaml.SequenceNode):
            for i, item in enumerate(node.value):
                walk(item, (*at, str(i)))
        else:
            loader.construct_object(node)  # its fault, such as an impossible date, is this line's

    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        if not isinstance(root, yaml.MappingNode):
            raise ParameterError(f"{path.name} holds no 'key: value' lines.")
        walk(root, ())
        values = loader.construct_document(root)
    except FileNotFoundError as cause:
        known = ", ".join(sorted(str(p.relative_to(PROJECT)) for p in PROJECT.glob(ours)))
        raise ParameterError(f"no file {path}.", f"There are {known}.") from cause
    except (yaml.YAMLError, ValueError, OSError) as cause:
        mark = getattr(cause, "problem_mark", None)
        after = f" at line {mark.line + 1}" if mark else f" after line {max(lines.values())}" if lines else ""
        raise ParameterError(f"{path.name} is not readable as YAML{after}: {cause}.") from cause
    return {str(key): value for key, value in values.items()}, where
