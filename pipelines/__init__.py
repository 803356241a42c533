"""The installed package around the library: command line, runner, graph, report."""
