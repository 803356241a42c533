"""Notebooks that a browser opens in tests: the controls, on figures that are there at once."""

from __future__ import annotations

from pathlib import Path

_SOURCE = (
    "from cloudarb_lib import controls\n"
    "from cloudarb_lib.testing import GCP_SPOT, planned, risk_inputs",
    "controls.risk(risk_inputs(n=200), planned({GCP_SPOT: 4.0}), budget_usd=1e5)",
)


def write_notebook(file: Path) -> None:
    """Write a notebook with the controls of risk."""
    import nbformat

    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    cells = [nbformat.v4.new_code_cell(text) for text in _SOURCE]
    file.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), file)
