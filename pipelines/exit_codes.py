"""What the exit code of each command says; errors of the library carry 2 to 5, 7 and 13."""

from __future__ import annotations

DONE = 0
UNFORESEEN = 1
NOT_ACCEPTABLE = 2
DATA = 3
STORE = 4
SOLVER = 5
RUN = 6
INFEASIBLE = 7
HELD_BACK = 8
ALERT = 9
NOTEBOOK_ERROR = 10
TIMEOUT = 11
DEAD_KERNEL = 12
UNDELIVERED = 13
DIFFERS = 14
STOPPED = 130

MEANING = {
    DONE: "done, or nothing to do",
    UNFORESEEN: ("doctor: something a run needs is wrong; elsewhere an error we did not foresee"),
    NOT_ACCEPTABLE: "a parameter, key or argument is not acceptable",
    DATA: "data break a rule",
    STORE: "the store cannot be used",
    SOLVER: "the solver failed or ran out of time",
    RUN: "the run is in progress already, its graph broke, or the disk filled up",
    INFEASIBLE: (
        "no plan keeps every limit: which conflict is said, with the least change that mends it"
    ),
    HELD_BACK: "rows were held back, the others landed: see quarantine list --all",
    ALERT: "an alert fires",
    NOTEBOOK_ERROR: "a notebook raised an error",
    TIMEOUT: "a notebook ran out of time",
    DEAD_KERNEL: "a notebook's kernel died",
    UNDELIVERED: "an alert or an event could not be told; the next try goes on from there",
    DIFFERS: "rerun: a table is not what it was; report lineage: a link does not hold",
    STOPPED: "stopped from outside; the same command takes it up again",
}
"""What the manual says of each."""
