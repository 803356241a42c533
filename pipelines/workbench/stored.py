"""What of a notebook is stored: its source, and the outputs of contract cells alone."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

FOLDER = "notebooks"
"""Folder, from the root of the server, whose notebooks are kept as they are on record."""


def stripped(notebook: Any, outputs_from: Any) -> Any:
    """Return a notebook without what a run leaves in it.

    Outputs stay only in cells tagged keep_output; execution counts, timings and widget state go, so
    that the file changes only when the notebook or one of its contract tables does.

    Parameters
    ----------
    notebook : NotebookNode
        Is changed.
    outputs_from : NotebookNode
        Whose contract cells have the outputs.

    Returns
    -------
    NotebookNode
        ``notebook``.
    """
    results = {cell.get("id"): cell for cell in outputs_from.cells}
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        cell.metadata = type(notebook)({"tags": tags} if tags else {})
        if cell.cell_type == "code":
            is_kept = "keep_output" in tags and cell.get("id") in results
            # nbval refuses an output without a count; any number does, as long as it stays
            cell.execution_count = 1 if "keep_output" in tags else None
            cell.outputs = results[cell.id].get("outputs", []) if is_kept else []
            for output in cell.outputs:
                output.pop("execution_count", None)
                if output.output_type == "execute_result":
                    output.execution_count = 1
    kept = ("kernelspec", "language_info")
    notebook.metadata = type(notebook)(
        {key: value for key, value in notebook.metadata.items() if key in kept}
    )
    notebook.metadata.get("language_info", {}).pop("version", None)
    return notebook


def before_saving(model: dict[str, Any], path: str, contents_manager: Any, **_: Any) -> None:
    """Leave in what JupyterLab is about to save only what is to be stored (its pre_save_hook).

    Running a notebook of the project changes no file: its contract outputs stay those on record
    (``make golden`` stores new ones), and so does what an editor writes about itself. A notebook
    saved elsewhere keeps its outputs. Widget state, megabytes of script, is never stored.
    """
    if model["type"] != "notebook" or model.get("content") is None:
        return
    import nbformat

    notebook = nbformat.from_dict(model["content"])
    notebook.metadata.pop("widgets", None)
    file = Path(contents_manager.root_dir) / path.lstrip("/")
    if PurePosixPath(path.lstrip("/")).parent == PurePosixPath(FOLDER) and file.is_file():
        on_record = nbformat.read(file, as_version=nbformat.NO_CONVERT)
        stripped(notebook, outputs_from=on_record)
        notebook.metadata = on_record.metadata
        notebook.nbformat_minor = on_record.nbformat_minor
    model["content"] = notebook
