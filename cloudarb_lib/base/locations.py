"""The one place that knows where things lie."""

from __future__ import annotations

from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent.parent
"""Root of the checkout: data/, notebooks/ and reports/ lie here."""
