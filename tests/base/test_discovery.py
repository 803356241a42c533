"""Classes of a kind are found in the modules that define them."""

from __future__ import annotations

from cloudarb_lib import sources
from cloudarb_lib.base.discovery import classes_in
from cloudarb_lib.sources.base import Source


def test_a_class_is_found_once_where_it_is_defined():
    found = classes_in(sources, Source)
    assert len(found) == len(set(found)) >= 3
    assert all(kind.__module__.startswith("cloudarb_lib.sources.") for kind in found)


def test_the_base_itself_is_left_out():
    assert Source not in classes_in(sources, Source)
