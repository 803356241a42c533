"""How the code reads, as far as a tool can tell: ``python -m benchmarks.house [FOLDER ...]``.

Sizes, density, circles of imports, and what tests reach into. The figures show where to look: a
line broken in two that reads no better gains nothing. ``tests/test_house.py`` holds the tree to
the rules.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parent.parent
LINES_A_FUNCTION = 50
"""Without its docstring."""
LOCALS_A_FUNCTION = 20
LINES_A_MODULE = 400
COLUMNS = 100
TOKENS_A_CODE_LINE = 9.0
TUPLE_ASSIGNMENTS_PER_1000 = 6.0

NO_CODE = (
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
)
DATA = (
    ast.List,
    ast.Tuple,
    ast.Dict,
    ast.Set,
    ast.Constant,
    ast.Name,
    ast.Attribute,
    ast.Call,
    ast.keyword,
    ast.UnaryOp,
    ast.USub,
    ast.Load,
)
"""What a table of data is made of; a call makes a record of it."""
PUBLIC_ALTHOUGH_UNDERSCORED = ("_replace", "_asdict", "_fields", "_make")
"""Of named tuples."""


@dataclass(frozen=True)
class Module:
    """A file of Python: where it stands, its dotted name, and its text."""

    path: str
    text: str

    @property
    def name(self) -> str:
        parts = Path(self.path).with_suffix("").parts
        return ".".join(part for part in parts if part != "__init__")

    @property
    def is_package(self) -> bool:
        return self.path.endswith("__init__.py")

    @property
    def tree(self) -> ast.Module:
        return parsed(self.text)


@cache
def parsed(text: str) -> ast.Module:
    return ast.parse(text)


@cache
def modules(folder: str) -> tuple[Module, ...]:
    """Return the modules of a folder, with those of its subfolders, or of one file."""
    place = ROOT / folder
    paths = [place] if place.is_file() else sorted(place.rglob("*.py"))
    return tuple(
        Module(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
        for path in paths
    )


# What is measured


def functions(module: Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a function without those of functions and classes inside it."""
    waiting = list(ast.iter_child_nodes(function))
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            waiting.extend(ast.iter_child_nodes(node))


def is_text(node: ast.AST) -> bool:
    """Whether a statement is nothing but a string, such as a docstring."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def docstring_lines(tree: ast.Module) -> set[int]:
    lines: set[int] = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and is_text(body[0]):
            lines.update(range(body[0].lineno, body[0].end_lineno + 1))
    return lines


@cache
def code_tokens(module: Module) -> tuple[int, int]:
    """Return how many tokens of code a module has, and on how many lines."""
    docstrings = docstring_lines(module.tree)
    tokens = 0
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
        if token.type not in NO_CODE and token.start[0] not in docstrings:
            tokens += 1
            lines.update(range(token.start[0], token.end[0] + 1))
    return tokens, len(lines)


def tuple_assignments(module: Module) -> list[str]:
    """Return where two values or more are assigned to as many names in one statement."""
    return [
        f"{module.path}:{node.lineno}"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Tuple)
        and isinstance(node.value, ast.Tuple)
    ]


# Rules on the modules of a room: each returns the places that break it


def long_functions(room: tuple[Module, ...]) -> list[str]:
    places = []
    for module in room:
        for function in functions(module):
            body = function.body
            has_docstring = is_text(body[0]) and len(body) > 1
            first = body[0].end_lineno + 1 if has_docstring else function.lineno
            length = function.end_lineno - first + 1
            if length > LINES_A_FUNCTION:
                places.append(f"{module.path}:{function.lineno} {function.name} ({length})")
    return places


def crowded_functions(room: tuple[Module, ...]) -> list[str]:
    places = []
    for module in room:
        for function in functions(module):
            names = {
                node.id
                for node in own_nodes(function)
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            }
            if len(names) > LOCALS_A_FUNCTION:
                places.append(f"{module.path}:{function.lineno} {function.name} ({len(names)})")
    return places


def long_modules(room: tuple[Module, ...]) -> list[str]:
    lengths = {module.path: len(module.text.splitlines()) for module in room}
    return [f"{path} ({lines})" for path, lines in lengths.items() if lines > LINES_A_MODULE]


def wide_lines(room: tuple[Module, ...]) -> list[str]:
    return [
        f"{module.path}:{number} ({len(line)})"
        for module in room
        for number, line in enumerate(module.text.splitlines(), 1)
        if len(line) > COLUMNS
    ]


def dense(room: tuple[Module, ...]) -> list[str]:
    counts = [code_tokens(module) for module in room]
    lines = sum(count[1] for count in counts)
    density = sum(count[0] for count in counts) / max(lines, 1)
    return [f"{density:.2f} tokens a code line"] if density > TOKENS_A_CODE_LINE else []


def crowded_assignments(room: tuple[Module, ...]) -> list[str]:
    places = [place for module in room for place in tuple_assignments(module)]
    lines = sum(code_tokens(module)[1] for module in room)
    rate = 1000 * len(places) / max(lines, 1)
    return [f"{rate:.1f} per 1,000", *places] if rate > TUPLE_ASSIGNMENTS_PER_1000 else []


def unformatted_logic(room: tuple[Module, ...]) -> list[str]:
    """Return where the formatter is switched off over more than a table of data."""
    return [
        f"{module.path}:{line}" for module in room for line in sorted(_unformatted_lines(module))
    ]


def _unformatted_lines(module: Module) -> Iterator[int]:
    off, last = None, 0
    for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
        last = token.end[0]
        if token.type != tokenize.COMMENT:
            continue
        if re.search(r"fmt:\s*skip", token.string) and not _only_data(module, last, last):
            yield last
        elif re.search(r"fmt:\s*off", token.string):
            off = last
        elif re.search(r"fmt:\s*on", token.string) and off is not None:
            if not _only_data(module, off, last):
                yield off
            off = None
    if off is not None and not _only_data(module, off, last):
        yield off


def _only_data(module: Module, first: int, last: int) -> bool:
    """Whether all statements that touch these lines only write down data."""
    statements = [
        node
        for node in ast.walk(module.tree)
        if isinstance(node, ast.stmt) and node.lineno <= last and node.end_lineno >= first
    ]
    inner = [
        node
        for node in statements
        if not any(child in statements for child in ast.walk(node) if child is not node)
    ]
    return all(
        isinstance(node, ast.Assign | ast.AnnAssign | ast.Expr)
        and node.value is not None
        and all(isinstance(part, DATA) for part in ast.walk(node.value))
        for node in inner
    )


RULES = {
    "function lines": long_functions,
    "local names": crowded_functions,
    "module lines": long_modules,
    "columns": wide_lines,
    "tokens a line": dense,
    "tuple assignments": crowded_assignments,
    "fmt: skip": unformatted_logic,
}


def circle(room: tuple[Module, ...]) -> list[str]:
    """Return modules that import each other at any depth, inside functions too; none, if none."""
    known = {module.name: module for module in room}
    graph = {module.name: imported_modules(module, known) for module in room}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def imported_modules(module: Module, known: dict[str, Module]) -> set[str]:
    """Return which of the ``known`` modules a module imports, wherever it does."""
    found: set[str] = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                parents = module.name.split(".")
                depth = len(parents) - node.level + module.is_package
                source = ".".join([*parents[:depth], *([source] if source else [])])
            for alias in node.names:
                inner = f"{source}.{alias.name}"
                found.add(inner if inner in known else source)
    return {name for name in found if name in known and name != module.name}


# Rules on tests


def imports_of_tests(tests: tuple[Module, ...]) -> list[str]:
    places = []
    for module in tests:
        for node in ast.walk(module.tree):
            sources = []
            if isinstance(node, ast.Import):
                sources = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                sources = [f"{'.' * node.level}{node.module or ''}"]
                sources += [f"{sources[0]}.{alias.name}" for alias in node.names]
            if any(re.match(r"\.|tests(\.|$)|(test_\w+|conftest)(\.|$)", name) for name in sources):
                places.append(f"{module.path}:{node.lineno}")
    return places


def private_names(tests: tuple[Module, ...]) -> list[str]:
    """Return where a test reaches into a private name: by import, attribute, or as a string."""
    return [
        f"{module.path}:{node.lineno} {name}"
        for module in tests
        for node in ast.walk(module.tree)
        for name in private_names_at(node)
    ]


def private_names_at(node: ast.AST) -> list[str]:
    if isinstance(node, ast.ImportFrom):
        return [alias.name for alias in node.names if is_private(alias.name)]
    if isinstance(node, ast.Attribute) and is_private(node.attr):
        own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
        return [] if own else [node.attr]
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        # as monkeypatch takes them: "cloudarb_lib.module._name"
        dotted = re.fullmatch(r"(cloudarb_lib|pipelines)(\.\w+)+", node.value)
        return [part for part in node.value.split(".") if is_private(part)] if dotted else []
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        name = node.func.id if isinstance(node.func, ast.Name) else name
        if name in ("setattr", "getattr", "hasattr", "delattr"):
            texts = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
            return [t for t in texts if isinstance(t, str) and t.isidentifier() and is_private(t)]
    return []


def is_private(name: str) -> bool:
    is_special = name.startswith("__") and name.endswith("__")
    return (
        name.startswith("_")
        and name != "_"
        and not is_special
        and name not in PUBLIC_ALTHOUGH_UNDERSCORED
    )


TEST_RULES = {
    "test file lines": long_modules,
    "imports of tests": imports_of_tests,
    "private names": private_names,
}


def main(folders: list[str]) -> None:
    """Print how many places of each folder break each rule, and the worst ones."""
    for folder in folders or ("cloudarb_lib", "pipelines", "benchmarks"):
        room = modules(folder)
        tokens, lines = map(sum, zip(*map(code_tokens, room), strict=True))
        size = f"{len(room)} modules, {lines} lines of code"
        print(f"{folder}: {size}, {tokens / lines:.1f} tokens a line")
        for rule, broken in RULES.items():
            places = broken(room)
            print(f"  {rule:<18} {len(places):>4}  {', '.join(places[:3])}")
        print(f"  circle of imports: {' - '.join(circle(room)) or 'none'}")


if __name__ == "__main__":
    main(sys.argv[1:])
