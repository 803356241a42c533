"""The one place that knows folders: what came with the program, and where it writes.

In a checkout both are its root. An installed package reads what the wheel carries, under
``share/cloudarb`` of the environment, and writes into a working folder: the one that the
environment variable ``CLOUDARB_HOME`` names, else ``~/cloudarb``. The current folder has no say,
since the kernel of a notebook has another one than the command that started it.

Call these through the module (``locations.data()``), so that a test can put others in their place.
"""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path

from cloudarb_lib.base.errors import DataError, ParameterError

HOME_VARIABLE = "CLOUDARB_HOME"
"""Environment variable: the working folder, which holds data/store and reports."""

_CARRIED = Path("share", "cloudarb")
"""Where a wheel puts what it carries besides the packages, see ``data-files`` in pyproject.toml."""


def library() -> Path:
    """Return the folder of the package cloudarb_lib, by whose files a result can be dated."""
    return Path(__file__).resolve().parent.parent


def checkout() -> Path | None:
    """Return the root of the checkout that the program runs from; None where it is installed."""
    root = library().parent
    return root if (root / "pyproject.toml").is_file() else None


def bundled() -> Path:
    """Return the folder of what came with the program: data/, notebooks/ and pipelines/*.yaml.

    Raises
    ------
    DataError
        Where the installation lacks them.
    """
    root = checkout()
    if root is not None:
        return root
    beside = library().parent  # pip install --target puts everything into one folder
    for prefix in (beside, Path(sysconfig.get_path("data")), Path.home() / ".local"):
        if (prefix / _CARRIED).is_dir():
            return prefix / _CARRIED
    raise DataError("this installation lacks its data and notebooks.", "Install the wheel again.")


def home() -> Path:
    """Return the working folder, where the store and the reports lie; it need not exist yet.

    Raises
    ------
    ParameterError
        Where ``CLOUDARB_HOME`` is relative: each process would read it as another folder.
    """
    chosen = os.environ.get(HOME_VARIABLE, "")
    if not chosen:
        return checkout() or Path.home() / "cloudarb"
    folder = Path(chosen).expanduser()
    if not folder.is_absolute():
        raise ParameterError(f"{HOME_VARIABLE} is {chosen!r}.", "Give the whole path, from / on.")
    return folder


def data() -> Path:
    """Return the folder of the bundled history, demand files and assumptions."""
    return bundled() / "data"


def notebooks() -> Path:
    """Return the folder of the notebooks."""
    return bundled() / "notebooks"


def configurations() -> Path:
    """Return the folder of the configurations that come with the program."""
    return bundled() / "pipelines"


def requirements_lock() -> Path:
    """Return the file that pins each package."""
    return bundled() / "requirements.lock"


def store() -> Path:
    """Return the folder of the default price store."""
    return home() / "data" / "store"


def reports() -> Path:
    """Return the folder of the runs."""
    return home() / "reports"


def scratch() -> Path:
    """Return the folder for the tables of a notebook that runs alone."""
    return reports() / "scratch"


def find(name: str | Path) -> Path:
    """Return the file that a configuration or a notebook names, such as ``data/demand.yaml``.

    Parameters
    ----------
    name : str or Path
        A whole path, or one from the working folder or from what came with the program.

    Returns
    -------
    Path
        The file of the working folder where there is one, else the one that came with the
        program; where neither is there, the path in the working folder.
    """
    ours = home() / name
    carried = bundled() / name
    return carried if carried.exists() and not ours.exists() else ours
