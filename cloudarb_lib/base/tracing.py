"""Where time goes: named stretches of work, told to whoever asked to be told.

Nobody has by default, and then a stretch costs a call of a function.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")
Begin = Callable[[str], AbstractContextManager[object]]
"""Begins a stretch of that name, which ends with the context."""
_listeners: list[Begin] = []


def listen(begin: Begin) -> None:
    """Have all stretches of this process told from now on, in place of who was told before."""
    _listeners.append(begin)


def forget() -> None:
    """Tell whoever was told before the last ``listen`` again; nobody, where that was nobody."""
    _listeners.pop()


def span(name: str) -> AbstractContextManager[object]:
    """Return the context of a stretch of work.

    Parameters
    ----------
    name : str
        What is done; the same for work of the same kind.
    """
    return _listeners[-1](name) if _listeners else nullcontext()


def traced(name: str) -> Callable[[Callable[_P, _T]], Callable[_P, _T]]:
    """Return a decorator that makes each call of a function a stretch of that name."""

    def decorate(function: Callable[_P, _T]) -> Callable[_P, _T]:
        @functools.wraps(function)
        def with_span(*args: _P.args, **kwargs: _P.kwargs) -> _T:
            with span(name):
                return function(*args, **kwargs)

        return with_span

    return decorate
