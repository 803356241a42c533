"""A run: configuration, stages, their graph, the notebook of each, and the manifest."""
