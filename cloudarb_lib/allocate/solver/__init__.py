"""From a problem to a plan: the program, its cuts, the solvers and the search."""
