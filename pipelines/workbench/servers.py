"""JupyterLab and Voila, set up for this project: on this machine alone, with a token."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from cloudarb_lib.base import locations
from pipelines.workbench.stored import FOLDER, before_saving

HOST = "127.0.0.1"
_SETTINGS = Path(__file__).parent / "settings"
"""Settings of JupyterLab that replace its own: it asks nobody whether there is news."""


def lab_settings() -> dict[str, dict[str, Any]]:
    """Return how JupyterLab is set up, by class.

    It opens at the working folder, so that data/ and reports/ are seen; asks nobody on the network
    for news or extensions; and also starts as root, as in a container.
    """
    return {
        "ServerApp": {"ip": HOST, "root_dir": str(locations.home()), "allow_root": True},
        "LabApp": {
            "app_settings_dir": str(_SETTINGS),
            "news_url": None,
            "check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
            "extension_manager": "readonly",
        },
    }


def dashboard_settings() -> dict[str, dict[str, Any]]:
    """Return how Voila is set up, by class: pages of our own, without code."""
    from pipelines.workbench.dashboard import cell_of_dashboard, page_parts

    folder = notebooks_of_home()
    return {
        "Voila": {"ip": HOST, "root_dir": str(folder), "auto_token": True},
        "VoilaConfiguration": {
            "show_tracebacks": True,
            "classic_tree": True,
            "allow_template_override": "NO",
            "allow_theme_override": "NO",
            "resources": {"house": page_parts(folder)},
        },
        "VoilaExporter": {
            "template_file": "dashboard.html",
            "filters": {"cell_of_dashboard": cell_of_dashboard},
        },
    }


def notebooks_of_home() -> Path:
    """Return the folder of notebooks in the working folder; an installed program fills it once."""
    own = locations.home() / FOLDER
    for notebook in sorted(locations.notebooks().glob("*.ipynb")):
        if not (own / notebook.name).exists():
            own.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(notebook, own / notebook.name)
    return own


def start_lab(arguments: list[str]) -> None:
    """Serve JupyterLab until it is stopped.

    Parameters
    ----------
    arguments : list of str
        Further options of ``jupyter lab``.
    """
    from jupyterlab.labapp import LabApp
    from traitlets.config import Config

    notebooks_of_home()
    server = LabApp.initialize_server(argv=arguments, config=Config(lab_settings()))
    server.contents_manager.register_pre_save_hook(before_saving)
    server.start()


def start_dashboard(arguments: list[str]) -> None:
    """Serve the notebooks as an app until it is stopped.

    Parameters
    ----------
    arguments : list of str
        Further options of ``voila``.
    """
    from traitlets.config import Config

    from pipelines.workbench.dashboard import Dashboard

    Dashboard.launch_instance(argv=arguments, config=Config(dashboard_settings()))
