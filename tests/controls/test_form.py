"""A picture is drawn anew in place, by one message where its traces stay of a kind."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib.controls import form
from cloudarb_lib.plots.style import figure


def bars(heights, *, title="A finding", **layout):
    return figure(title).add_bar(x=["a", "b"], y=heights).update_layout(**layout)


@pytest.fixture
def picture():
    return form.Picture(bars([1.0, 2.0], xaxis_type="category"))


@pytest.fixture
def sent(picture):
    """Return the list of what the figure tells the browser from here on."""
    messages = []

    def note(change):
        if change.new is not None:
            messages.append(change.name)

    names = ["_py2js_update", "_py2js_relayout", "_py2js_restyle"]
    picture.widget.observe(note, [*names, "_py2js_addTraces", "_py2js_deleteTraces"])
    return messages


def test_what_differs_goes_to_the_browser_at_once(picture, sent):
    picture.draw(bars([3.0, 4.0], title="Another", yaxis_title_text="USD"))
    assert sent == ["_py2js_update"]
    (drawn,) = picture.widget.data
    assert list(drawn.y) == [3.0, 4.0]
    assert picture.widget.layout.yaxis.title.text == "USD"
    assert picture.widget.layout.xaxis.type is None  # what it no longer has is gone


def test_the_same_figure_is_sent_to_nobody(picture, sent):
    picture.draw(bars(np.array([1.0, 2.0]), xaxis_type="category"))
    assert sent == []


def test_traces_of_other_kinds_take_the_place_of_those_before(picture, sent):
    picture.draw(figure("A line").add_scatter(y=[5.0]).add_bar(y=[6.0]))
    assert [trace.type for trace in picture.widget.data] == ["scatter", "bar"]
    assert "_py2js_deleteTraces" in sent


def test_the_title_stands_above_as_a_text(picture):
    picture.draw(bars([1.0, 2.0], title="3 < 4, <b>so</b> <script>"))
    assert picture.title == "3 < 4, <b>so</b> <script>"
    assert picture.widget.layout.title.text is None
    assert "3 &lt; 4, <b>so</b> &lt;script&gt;" in picture.view.children[0].value


def test_figures_of_a_table_stand_to_the_right():
    table = form.table(pd.DataFrame({"place": ["a"], "cost": ["$5"]}), figures=["cost"])
    assert 'text-align:left; padding:2px 18px 2px 0">a<' in table
    assert 'text-align:right; padding:2px 18px 2px 0">$5<' in table
