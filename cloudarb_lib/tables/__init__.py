"""Every table by its columns, the tables of a run, and the figures no record gives."""
