"""What every control is made of: fields with names, a picture drawn in place, tables, amounts."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from html import escape
from typing import Any

import ipywidgets as widgets
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.basedatatypes import BasePlotlyType

from cloudarb_lib.plots.style import with_marks

_NAME_WIDTH = "150px"
LONG_NAME_WIDTH = "220px"
"""Of fields beside each other of which some have a long name."""
_FIELD_WIDTH = "440px"
_MARGIN_TOP_PX = 30
"""Above a figure whose title stands outside."""
_KEY_OF_A_TRACE = "uid"
"""By which a widget knows its traces: it gives them one each."""
_ROUTE = "_reply_subshell_for"
"""By which ipykernel asks a comm what subshell answers a message of it."""
NO_LIMIT = 0.0
_POSITIONS = 10
"""Of a slider at least, over the amounts between which a limit makes a difference."""
"""What a slider stands for at the end where nothing is limited: it takes no None."""
Option = tuple[str, Any]
"""What a person reads, and what it stands for."""


class Picture:
    """One figure of a notebook, drawn anew in place: its script is stored and sent once.

    Its title stands above it as a text, which wraps where there is little room.

    Attributes
    ----------
    widget : FigureWidget
        The figure alone.
    view : Widget
        The figure under its title.
    title : str
        What the figure finds.
    """

    def __init__(self, figure: go.Figure) -> None:
        self.title = ""
        self._caption = widgets.HTML()
        self.widget = go.FigureWidget(self._under_its_title(figure))
        self.view = widgets.VBox([self._caption, self.widget])

    def draw(self, figure: go.Figure) -> None:
        """Show another figure in the place of the one shown.

        Where its traces are of the same kinds, all that differs goes to the browser in one message,
        and is drawn once. Else the traces are exchanged, and each step is drawn.
        """
        figure = self._under_its_title(figure)
        shown = self.widget
        if [trace.type for trace in figure.data] == [trace.type for trace in shown.data]:
            with shown.batch_update():
                for trace, wanted in zip(shown.data, figure.data, strict=True):
                    _make_alike(trace, wanted)
                _make_alike(shown.layout, figure.layout)
            return
        shown.layout.annotations = ()  # those at times have no place once the traces are gone
        shown.data = ()
        shown.add_traces(figure.data)
        for name in _set_in(shown.layout) - _set_in(figure.layout):
            shown.layout[name] = None  # a browser keeps what it is not told to drop
        shown.layout = figure.layout

    def _under_its_title(self, figure: go.Figure) -> go.Figure:
        """Return a figure without its title, which is shown above it, and with times as texts."""
        self.title = str(figure.layout.title.text or "")
        self._caption.value = f"<p><b>{with_marks(self.title)}</b></p>"
        figure.layout.title = None
        figure.layout.margin.t = _MARGIN_TOP_PX
        return _with_days_in_words(figure)


def _make_alike(shown: BasePlotlyType, wanted: BasePlotlyType) -> None:
    """Give a part of a figure the properties of another, setting only what differs."""
    stays = _set_in(wanted)
    for name in stays | _set_in(shown):
        value = wanted[name] if name in stays else None
        if not _is_equal(shown[name], value):
            shown[name] = value


def _set_in(part: BasePlotlyType) -> set[str]:
    """Return the names of the properties that a part of a figure has."""
    return set(part.to_plotly_json()) - {_KEY_OF_A_TRACE}


def _is_equal(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    return bool(one == other)


def _with_days_in_words(figure: go.Figure) -> go.Figure:
    """Return a figure whose times are texts: a widget sends those of numpy as nanoseconds."""
    for trace in figure.data:
        for axis in ("x", "y"):
            values = getattr(trace, axis, None)
            if isinstance(values, np.ndarray) and values.dtype.kind == "M":
                trace[axis] = np.datetime_as_string(values, unit="s")
    return figure


def choice(name: str, options: Iterable[Option], value: Any) -> widgets.Dropdown:
    """Return a field that takes one of several."""
    return widgets.Dropdown(options=list(options), value=value, **named(name))


def choices(name: str, options: Iterable[Option], value: Iterable[Any]) -> widgets.SelectMultiple:
    """Return a field that takes any of several."""
    listed = list(options)
    rows = min(max(len(listed), 2), 6)
    return widgets.SelectMultiple(options=listed, value=tuple(value), rows=rows, **named(name))


def slider(
    name: str, options: Iterable[Option], value: Any, *, name_width: str = _NAME_WIDTH
) -> widgets.SelectionSlider:
    """Return a slider over amounts in words; it acts when it is let go."""
    return widgets.SelectionSlider(
        options=list(options), value=value, continuous_update=False, **named(name, width=name_width)
    )


def named(name: str, *, width: str = _NAME_WIDTH) -> dict[str, Any]:
    """Return what names a field and sets its width."""
    return {
        "description": name,
        "style": {"description_width": width},
        "layout": widgets.Layout(width=_FIELD_WIDTH, max_width="98%"),
    }


def usd(amount: float) -> str:
    """Return dollars without cents, as people write them."""
    return f"${amount:,.0f}"


def amounts_usd(around_usd: float, chosen_usd: float | None) -> list[Option]:
    """Return amounts from half to twice another, in round steps, the chosen one, and no limit."""
    step = 10.0 ** np.floor(np.log10(max(around_usd, 1.0))) / 20
    grid = step * np.arange(np.ceil(around_usd / 2 / step), np.floor(2 * around_usd / step) + 1)
    every = sorted({*grid.round(2).tolist(), chosen_usd or around_usd})
    return [*((usd(amount), amount) for amount in every), ("no limit", NO_LIMIT)]


def limits_usd(low_usd: float, high_usd: float, chosen_usd: float | None) -> list[Option]:
    """Return amounts in round steps from one to another and as far beyond, and no limit.

    Parameters
    ----------
    low_usd, high_usd
        Between which a limit makes a difference; NaN or equal where none does.
    chosen_usd
        Is among them.
    """
    span_usd = high_usd - low_usd
    amounts = set() if chosen_usd is None else {float(chosen_usd)}
    if span_usd > 0:
        step = _round_step(span_usd / _POSITIONS)
        first = np.floor(low_usd / step)
        last = np.ceil((high_usd + span_usd) / step)
        amounts |= set((step * np.arange(first, last + 1)).round(2).tolist())
    return [*((usd(amount), amount) for amount in sorted(amounts)), ("no limit", NO_LIMIT)]


def _round_step(most: float) -> float:
    """Return the largest of 1, 2 and 5 times a power of ten up to an amount."""
    power = 10.0 ** np.floor(np.log10(most))
    return float(max(factor for factor in (1, 2, 5) if factor * power <= most * (1 + 1e-9)) * power)


def paragraph(text: str, *, alert: bool = False) -> str:
    """Return a text as HTML that says just this text."""
    role = ' role="alert" style="color: #b3261e"' if alert else ""
    return f"<p{role}>{escape(text)}</p>"


def table(frame: pd.DataFrame, *, figures: Collection[str]) -> str:
    """Return a table of texts as HTML, the columns named by ``figures`` to the right."""
    sides = ["right" if name in figures else "left" for name in frame]
    heads = _row("th", frame.columns, sides)
    rows = "".join(_row("td", row, sides) for row in frame.itertuples(index=False))
    return f'<div class="people"><table>{heads}{rows}</table></div>'


def _row(kind: str, texts: Iterable[Any], sides: Iterable[str]) -> str:
    cells = [
        f'<{kind} style="text-align:{side}; padding:2px 18px 2px 0">{escape(str(text))}</{kind}>'
        for text, side in zip(texts, sides, strict=True)
    ]
    return f"<tr>{''.join(cells)}</tr>"


def beside(fields: Iterable[widgets.Widget]) -> widgets.Box:
    """Return fields side by side as far as there is room."""
    wrap = widgets.Layout(display="flex", flex_flow="row wrap", align_items="flex-start")
    return widgets.Box(list(fields), layout=wrap)


def view(question: str, fields: Iterable[widgets.Widget], *below: widgets.Widget) -> widgets.VBox:
    """Return controls under the question that they answer."""
    heading = widgets.HTML(f"<h3>{escape(question)}</h3>")
    made = widgets.VBox([heading, beside(fields), *below])
    _answer_while_cells_run(made)
    return made


def _answer_while_cells_run(view: widgets.Widget) -> None:
    """Have what a person does to a widget answered in the thread that JupyterLab sends it to.

    JupyterLab asks the kernel for a thread of its own, a subshell, for widgets. ipykernel 7.4 sends
    each message to where its widget last spoke instead: the main thread, which a cell keeps busy.
    """
    if hasattr(view.comm, _ROUTE):
        setattr(view.comm, _ROUTE, _where_it_was_sent)
    for child in getattr(view, "children", ()):
        _answer_while_cells_run(child)


def _where_it_was_sent(_: Any, subshell_id: str | None) -> str | None:
    return subshell_id
