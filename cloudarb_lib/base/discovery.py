"""Finds the classes of a kind that the modules of a package define: adding one is adding a file."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from types import ModuleType
from typing import TypeVar

Kind = TypeVar("Kind")


def classes_in(package: ModuleType, kind: type[Kind]) -> list[type[Kind]]:
    """Return the classes of a kind that the modules of a package define.

    Parameters
    ----------
    package : module
        Each of its modules is imported.
    kind : type
        A base class; classes with abstract methods, and those that a module merely imports, are
        left out.

    Returns
    -------
    list of type
        By module, then in their order there.
    """
    found: list[type[Kind]] = []
    for entry in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{entry.name}")
        found += [
            item
            for item in vars(module).values()
            if inspect.isclass(item)
            and issubclass(item, kind)
            and not inspect.isabstract(item)
            and item.__module__ == module.__name__
        ]
    return found
