"""The tree keeps to the house rules that a tool can check; each has a source that breaks it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import house

ROOT = Path(__file__).parent.parent
ROOMS = (
    *sorted(f"cloudarb_lib/{p.parent.name}" for p in ROOT.glob("cloudarb_lib/*/__init__.py")),
    *sorted(f"cloudarb_lib/{p.name}" for p in ROOT.glob("cloudarb_lib/*.py")),
    "pipelines",
    "benchmarks",
)
OF_FORMULAS = ("cloudarb_lib/forecast", "cloudarb_lib/risk")
"""Rooms whose lines may be denser."""


def room_case(rule: str, room: str):
    return pytest.param(rule, room, id=f"{rule} in {room}")


@pytest.mark.parametrize(
    ("rule", "room"),
    [
        room_case(rule, room)
        for rule in (*house.RULES, *house.TEST_RULES)
        for room in (ROOMS if rule in house.RULES else ("tests",))
        if rule != "tokens a line"
    ],
)
def test_the_room_keeps_the_rule(rule, room):
    assert (house.RULES | house.TEST_RULES)[rule](house.modules(room)) == []


def test_the_packages_together_are_no_denser_than_their_peers():
    """A room of formulas may be: its lines are longer."""
    rooms = [r for r in ROOMS if r not in OF_FORMULAS and r != "benchmarks"]
    packages = tuple(module for room in rooms for module in house.modules(room))
    assert house.RULES["tokens a line"](packages) == []


@pytest.mark.parametrize(
    ("rule", "room"),
    [room_case("circle of imports", room) for room in ("cloudarb_lib", "pipelines", "benchmarks")],
)
def test_no_modules_import_each_other(rule, room):
    assert house.circle(house.modules(room)) == []


def test_the_rules_look_at_every_module():
    named = {module.path for room in ROOMS for module in house.modules(room)}
    everything = {
        path.relative_to(ROOT).as_posix()
        for folder in ("cloudarb_lib", "pipelines", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
    }
    assert named == everything
    assert len(named) > 80


# Each rule fires


def function(lines: int, *, docstring_lines: int = 0) -> str:
    docstring = ['    """Text.', *["    more"] * (docstring_lines - 2), '    """']
    body = ["    x = 1"] * (lines - 1)
    return "\n".join(["def f():", *(docstring if docstring_lines else []), *body]) + "\n"


def assignments(names: int) -> str:
    return "def f():\n" + "".join(f"    name_{i} = {i}\n" for i in range(names))


HOLDS_AND_BREAKS = {
    "function lines": (function(50), function(51)),
    "local names": (assignments(20), assignments(21)),
    "module lines": ("x = 1\n" * 400, "x = 1\n" * 401),
    "columns": ("#" * 100, "#" * 101),
    "tokens a line": ("f(a, b, c)\n", "f(a, b, c, d)\n"),
    "tuple assignments": ("(a, b) = c\n", "a, b = c, d\n"),
    "fmt: skip": (
        "x = [1,\n  Record('a', -2)]  # fmt: skip\n",
        "x = [i   for i in y]  # fmt: skip\n",
    ),
    "test file lines": ("x = 1\n" * 400, "x = 1\n" * 401),
    "imports of tests": ("from cloudarb_lib import testing\n", "import test_room\n"),
    "private names": ("module.name\n", "module._name\n"),
}


def broken(rule: str, *texts: str) -> list[str]:
    room = tuple(house.Module(f"tests/test_room_{i}.py", text) for i, text in enumerate(texts))
    room = (*room, house.Module("tests/test_room.py", ""))
    return (house.RULES | house.TEST_RULES)[rule](room)


def test_every_rule_has_a_source_that_breaks_it():
    assert set(HOLDS_AND_BREAKS) == {*house.RULES, *house.TEST_RULES}


@pytest.mark.parametrize("rule", HOLDS_AND_BREAKS)
def test_the_rule_fires_and_only_then(rule):
    holds, breaks = HOLDS_AND_BREAKS[rule]
    assert broken(rule, holds) == []
    assert broken(rule, breaks)


def test_a_docstring_makes_no_function_long_and_no_line_dense():
    assert broken("function lines", function(49, docstring_lines=30)) == []
    assert broken("tokens a line", '"""one."""\nf(a, b, c, d)\n')


def test_names_of_a_function_inside_count_for_that_function_alone():
    inner = assignments(15).replace("def f", "def inner").replace("\n", "\n    ")
    assert broken("local names", assignments(15) + "    " + inner) == []


@pytest.mark.parametrize(
    "text",
    [
        "# fmt: off\nx = lambda   y: y\n# fmt: on\n",
        "# fmt: off\nx = [1,\n     2]\ndef f(): return 1\n",
        "if x:  y = f(x) if z else 0  # fmt: skip\n",
        "for x in y: pass  # fmt: skip\n",
    ],
)
def test_the_formatter_is_switched_off_over_data_alone(text):
    assert broken("fmt: skip", text)


def test_tables_of_data_may_keep_their_columns():
    table = (
        "# fmt: off\nTABLE = {\n    'a':  (1,   2),\n    'bc': (10, -2),\n}\n# fmt: on\nx = f(1)\n"
    )
    assert broken("fmt: skip", table) == []


@pytest.mark.parametrize(
    "text",
    [
        "from test_room import builder\n",
        "from tests.test_room import builder\n",
        "from tests import test_room\n",
        "from . import test_room\n",
        "def f():\n    from .test_room import builder\n",
    ],
)
def test_no_import_of_another_test_gets_by(text):
    assert broken("imports of tests", text)


@pytest.mark.parametrize(
    "text",
    [
        "from cloudarb_lib.room import _name\n",
        "monkeypatch.setattr('cloudarb_lib.room._NAME', 1)\n",
        "monkeypatch.setattr(room, '_name', 1)\n",
        "getattr(room, '_name')\n",
        "room.Thing()._name\n",
    ],
)
def test_no_way_to_a_private_name_gets_by(text):
    assert broken("private names", text)


@pytest.mark.parametrize(
    "text",
    ["self._name = 1\n", "_own_helper()\n", "x.__class__\n", "_, y = z\n", "t._replace(a=1)\n"],
)
def test_what_is_a_tests_own_may_be_private(text):
    assert broken("private names", text) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("from room import b", "import room.a"),
        ("from room.b import name", "def f():\n    from room.a import name"),
        ("from . import b", "from .a import name"),
        ("import room.b", "from room.c import name"),
    ],
)
def test_a_circle_of_imports_is_found(first, second):
    room = (
        house.Module("room/__init__.py", "from room import a"),
        house.Module("room/a.py", first),
        house.Module("room/b.py", second),
        house.Module("room/c.py", "from room.a import name"),
    )
    assert {"room.a", "room.b"} <= set(house.circle(room))


def test_imports_that_point_one_way_are_no_circle():
    room = (
        house.Module("room/__init__.py", "from room import a"),
        house.Module("room/a.py", "from room.b import name\nfrom room import c"),
        house.Module("room/b.py", "def f():\n    from room import c"),
        house.Module("room/c.py", "import os"),
    )
    assert house.circle(room) == []
