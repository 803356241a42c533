"""Figures carry the house style themselves; the rest of the kernel keeps its own."""

import ast
from pathlib import Path

import plotly.express as px
import plotly.io as pio
import pytest

import cloudarb_lib.plots
from cloudarb_lib.plots.style import COLOURS, TEMPLATE, figure

MODULES = sorted(Path(cloudarb_lib.plots.__file__).parent.glob("*.py"))


def without_template(source: str) -> list[int]:
    """Return the lines of calls of plotly.express that pass no template."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    express = [call for call in calls if ast.unparse(call.func).rpartition(".")[0] == "px"]
    return [
        call.lineno for call in express if "template" not in {word.arg for word in call.keywords}
    ]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_every_express_figure_is_given_the_template(path):
    assert without_template(path.read_text()) == []


def test_a_figure_without_template_is_found():
    assert without_template("px.bar(table, template=T)\npx.line(table)") == [2]


def test_nothing_is_set_for_the_whole_kernel():
    assert px.defaults.template is None
    assert pio.templates.default == "plotly"


def test_a_figure_has_the_style_it_was_given():
    drawn = px.line(x=[1, 2], y=[1, 2], template=TEMPLATE)
    assert figure("Finding", drawn=drawn).layout.template == TEMPLATE
    assert drawn.data[0].line.color == COLOURS[0]
