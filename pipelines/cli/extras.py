"""Verbs that need more than `make report` installs."""

from __future__ import annotations

from importlib.util import find_spec

from cloudarb_lib.base.errors import ParameterError


def require(extra: str, *packages: str) -> None:
    """Refuse to go on where a package is missing.

    Parameters
    ----------
    extra : str
        The extra of this project that brings them along.
    *packages : str
        Their names, as they are imported.

    Raises
    ------
    ParameterError
        Names those that are missing.
    """
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise ParameterError(
            f"{', '.join(missing)} is not installed.",
            f"Run make platform, or pip install 'cloudarb[{extra}]'.",
        )
