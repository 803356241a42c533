"""The installed package around the library: command line, runs of notebooks, reports."""
