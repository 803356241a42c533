"""Run every notebook with its defaults and store the outputs of its contract cells, no others.

usage: python -m benchmarks.refresh_golden [NAME ...]      (make golden)

Outputs stay only in cells tagged keep_output; execution counts, timings and widget state go, so
that the file changes only when the notebook or one of its contract tables does.
"""

import sys
import tempfile
from pathlib import Path

import nbformat

from pipelines.run.notebook import KernelWatch, execute
from pipelines.workbench.stored import stripped

ROOT = Path(__file__).resolve().parent.parent


def refresh(path: Path) -> bool:
    """Run the notebook at ``path`` and store it; return whether the file changed."""
    with tempfile.TemporaryDirectory() as folder, KernelWatch(300.0) as watch:
        output = Path(folder) / "tables" / path.name
        output.parent.mkdir()
        execute(path, output, {}, watch)
        executed = nbformat.read(output, as_version=4)
    before = path.read_text(encoding="utf-8")
    nbformat.write(stripped(nbformat.read(path, as_version=4), executed), path)
    return path.read_text(encoding="utf-8") != before


if __name__ == "__main__":
    names = sys.argv[1:] or ["*"]
    for path in sorted(
        p for name in names for p in (ROOT / "notebooks").glob(f"{Path(name).stem}.ipynb")
    ):
        print(f"{path.name:<26}{'changed' if refresh(path) else 'as before'}", flush=True)
