"""Who looks on: a person who can be asked back, or a batch run, a test, a file."""

from __future__ import annotations

import os
import sys

DASHBOARD_VARIABLE = "VOILA_BASE_URL"
"""Environment variable that Voila sets for the kernels of a dashboard."""


def is_person() -> bool:
    """Return whether a person runs the notebook that this kernel serves.

    JupyterLab and editors let a cell ask a question back (``input()``); papermill, nbval and
    nbconvert do not. Voila does not either, but names itself to its kernels.
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return False
    return DASHBOARD_VARIABLE in os.environ or bool(getattr(kernel, "_allow_stdin", False))
