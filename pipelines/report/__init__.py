"""The pages of a run: its notebooks as HTML, an overview, and the list of all runs."""

from pathlib import Path

FOLDER = Path(__file__).parent
"""What draws the pages lies here: code, template and style sheet."""
