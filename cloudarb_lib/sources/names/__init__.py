"""One name for each thing, however a file spells it: providers, options, GPU models, AWS zones.

The tables are CSV beside the modules that read them. What no table has is not guessed: it keeps
its own name, and the store tells of it.
"""
