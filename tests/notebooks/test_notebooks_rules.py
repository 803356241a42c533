"""The rules for notebooks as tests, and for each rule a bad notebook that breaks it."""

from __future__ import annotations

import ast
import copy
import json
import re
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
CONTRACT = {"nbval-check-output", "keep_output"}
ALLOWED = ("cloudarb_lib", "IPython.display", "pandas", "typing")
MOST_LINES_A_CELL = 12
LEAST_CONTRACTS = 2
ABSOLUTE = re.compile(r"^(/[\w.-]+(/|$)|~/|[A-Za-z]:\\)")


def text(cell):
    return "".join(cell["source"])


def tags(cell):
    return set(cell["metadata"].get("tags", []))


def lines(cell):
    return [line for line in text(cell).splitlines() if line.strip()]


def faults(notebook):
    """Return a sentence for each rule that ``notebook`` (a parsed .ipynb) breaks."""
    cells = notebook["cells"]
    code = [c for c in cells if c["cell_type"] == "code"]
    prose = [text(c) for c in cells if c["cell_type"] == "markdown"]
    found = []
    try:
        trees = [ast.parse(text(c)) for c in code]
    except SyntaxError as error:
        return [f"a cell is not plain Python: {error}"]
    found += _parameter_faults(code)
    for cell, tree in zip(code, trees, strict=True):
        head = lines(cell)[0][:50] if lines(cell) else "(empty)"
        found += [f"{what} in cell {head!r}" for what in _code_faults(tree)]
        if len(lines(cell)) > MOST_LINES_A_CELL and "parameters" not in tags(cell):
            found.append(f"{len(lines(cell))} lines of code in cell {head!r}")
        if not tags(cell) >= CONTRACT and (cell["outputs"] or cell.get("execution_count")):
            found.append(f"an output is stored outside the contract, in cell {head!r}")
        if tags(cell) & CONTRACT and not tags(cell) >= CONTRACT:
            found.append(f"only one of the two contract tags on cell {head!r}")
    found += _contract_faults([c for c in code if tags(c) >= CONTRACT])
    if cells[0]["cell_type"] != "markdown" or not text(cells[0]).startswith("# "):
        found.append("the first cell is no title")
    if not any("cloudarb_lib.plots" in text(c) for c in code):
        found.append("no figure: nothing of cloudarb_lib.plots is imported")
    if not any(p.startswith("## What this means") for p in prose):
        found.append("no cell 'What this means'")
    if not any("Markdown(" in text(c) for c in code[-4:]):
        found.append("no closing sentence: none of the last cells shows Markdown with numbers")
    if "provenance(" not in text(code[-1]):
        found.append("the last cell of code does not show the provenance")
    return found


def _parameter_faults(code):
    tagged = [c for c in code if "parameters" in tags(c)]
    if len(tagged) != 1:
        return [f"{len(tagged)} cells are tagged parameters"]
    found = [] if tagged[0] is code[0] else ["code stands before the parameters cell"]
    source = text(tagged[0]).splitlines()
    for node in ast.parse(text(tagged[0])).body:
        line = source[node.lineno - 1]
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.annotation, ast.Name):
            found.append(f"parameter line {line!r} is no plain annotated assignment")
            continue
        try:
            ast.literal_eval(node.value)
        except (ValueError, TypeError):
            found.append(f"parameter line {line!r} is no literal")
        if node.lineno != node.end_lineno:
            found.append(f"parameter line {line!r} goes on over several lines")
        elif not line[node.end_col_offset :].strip().startswith("#"):
            found.append(f"parameter line {line!r} has no comment")
    return found


def _code_faults(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield "a def"
        elif isinstance(node, ast.ClassDef):
            yield "a class"
        elif isinstance(node, ast.Attribute | ast.Name) and "warnings" in ast.unparse(node).split(
            "."
        ):
            yield "a warnings filter"
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and ABSOLUTE.match(node.value)
        ):
            yield f"an absolute path {node.value!r}"
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = (
                [a.name for a in node.names]
                if isinstance(node, ast.Import)
                else [node.module or "."]
            )
            for name in names:
                if not any(name == a or name.startswith(a + ".") for a in ALLOWED):
                    yield f"an import of {name}"


def _contract_faults(contracts):
    found = []
    if len(contracts) < LEAST_CONTRACTS:
        found.append(f"{len(contracts)} contract cells")
    for cell in contracts:
        shown = "".join("".join(o.get("text", "")) for o in cell["outputs"])
        if not any(ch.isalnum() for ch in shown):
            found.append(
                "a contract cell has no stored text: nbval passes such a cell whatever it shows"
            )
        elif not cell.get("execution_count"):
            found.append("a contract cell has no execution count: nbval refuses its output")
        if re.search(r"0x[0-9a-f]{6,}", shown):
            found.append("a contract cell shows a memory address, which changes each time")
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_the_notebook_keeps_the_rules(path):
    assert faults(json.loads(path.read_text())) == []


def test_there_are_notebooks_to_check():
    assert len(NOTEBOOKS) >= 5


def test_a_parameter_means_the_same_in_every_notebook():
    seen = {}
    for path in NOTEBOOKS:
        for cell in json.loads(path.read_text())["cells"]:
            if "parameters" in tags(cell):
                for node in ast.parse(text(cell)).body:
                    line = ast.unparse(node)
                    assert seen.setdefault(node.target.id, line) == line, path.name


def md(source):
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def py(source, *cell_tags, output=None):
    outputs = (
        [] if output is None else [{"output_type": "stream", "name": "stdout", "text": output}]
    )
    return {
        "cell_type": "code",
        "metadata": {"tags": list(cell_tags)},
        "source": source,
        "outputs": outputs,
        "execution_count": 1 if outputs else None,
    }


GOOD = [
    md("# A question?"),
    py('as_of: str = "2026-04-29"  # a date\nn: int = 3  # a number', "parameters"),
    py("from IPython.display import Markdown\n\nfrom cloudarb_lib.plots import explore as plots"),
    py("print(1)", *CONTRACT, output="1\n"),
    py("print(2)", *CONTRACT, output="2\n"),
    md("## What this means"),
    py('Markdown(f"{n} offers")'),
    py("run_tables.provenance(digest, as_of)"),
]


def test_a_good_notebook_has_no_faults():
    assert faults({"cells": GOOD}) == []


BAD = {
    "not plain Python": (2, py("%matplotlib inline")),
    "0 cells are tagged parameters": (1, py("n: int = 3  # a number")),
    "code stands before": (0, py("1")),
    "no plain annotated assignment": (1, py("n = 3  # a number", "parameters")),
    "is no literal": (1, py("n: int = 1 + 2  # a number", "parameters")),
    "has no comment": (1, py("n: int = 3", "parameters")),
    "over several lines": (1, py("n: list = [\n1]  # a list", "parameters")),
    "a def in": (6, py("def f():\n    Markdown(1)")),
    "a class in": (6, py("class A:\n    b = Markdown(1)")),
    "a warnings filter": (6, py('warnings.filterwarnings("ignore"); Markdown(1)')),
    "an absolute path": (6, py('Markdown(open("/home/me/prices.csv").read())')),
    "an import of duckdb": (6, py("import duckdb; Markdown(1)")),
    "an import of os.path": (6, py("from os.path import join; Markdown(1)")),
    "13 lines of code in cell": (6, py("Markdown(1)\n" * 13)),
    "stored outside the contract": (6, py("Markdown(1)", output="1")),
    "only one of the two": (6, py("Markdown(1)", "keep_output")),
    "1 contract cells": (4, py("print(2)")),
    "no stored text": (4, py("print()", *CONTRACT, output="\n")),
    "no execution count": (4, py("print(2)", *CONTRACT, output="2") | {"execution_count": None}),
    "a memory address": (4, py("print(plots)", *CONTRACT, output="<object at 0x7f12ab34cd56>")),
    "no title": (0, md("A question?")),
    "no figure": (2, py("from IPython.display import Markdown")),
    "no cell 'What this means'": (5, md("## The end")),
    "no closing sentence": (6, py("n")),
    "not show the provenance": (7, py("digest")),
}


@pytest.mark.parametrize("says", BAD)
def test_each_rule_fires(says):
    place, cell = BAD[says]
    cells = copy.deepcopy(GOOD)
    cells[place] = cell
    found = faults({"cells": cells})
    assert any(says in fault for fault in found), found
