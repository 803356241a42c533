"""Notebooks that a browser opens in tests: the controls, on figures that are there at once."""

from __future__ import annotations

from pathlib import Path

FOR_TESTS = "compared with what is stored"
"""What the contract cell of the notebook prints."""
GO_ON = "go_on"
"""Name of the file beside the notebook for which its last cell waits, busy."""
_SOURCE = (
    "from cloudarb_lib import controls\n"
    "from cloudarb_lib.plots import figure\n"
    "from cloudarb_lib.testing import GCP_SPOT, planned, risk_inputs",
    "figure('Prices <b>fell</b>').add_bar(x=[1, 2], y=[2, 1])",
    f"print({FOR_TESTS!r})",
    "controls.risk(risk_inputs(n=200), planned({GCP_SPOT: 4.0}), budget_usd=1e5)",
    "import time\n"
    "from pathlib import Path\n"
    f"while not Path({GO_ON!r}).exists():\n"
    "    time.sleep(0.1)",
)


def write_notebook(file: Path) -> None:
    """Write a notebook: a figure, a contract cell, the controls of risk, a cell that is busy."""
    import nbformat

    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    cells = [nbformat.v4.new_code_cell(text) for text in _SOURCE]
    contract = cells[2]
    contract.metadata["tags"] = ["nbval-check-output", "keep_output"]
    contract.execution_count = 1
    contract.outputs = [nbformat.v4.new_output("stream", name="stdout", text=f"{FOR_TESTS}\n")]
    file.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), file)
