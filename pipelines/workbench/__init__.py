"""Servers for people: JupyterLab at the project's root, and the notebooks as an app."""
