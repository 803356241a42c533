"""The command ``cloudarb``. Start-up is quick: each verb imports what it needs when it is used."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

_MANUAL = """\
Where to rent compute, for how long, what it will cost and how wrong that can be: from price
records to a plan with its risk, as a report of five pages.

verbs
  cloudarb run pipelines/weekly.yaml       prices to report; does only what is not up to date
  cloudarb ingest prices.parquet ec2.json  take price files into the store
  cloudarb doctor                          is everything in place? what to do if not
  cloudarb VERB --help                     the details of one verb
"""

_PLACES = """\
where things lie
  data/            the bundled price history, demand files, assumptions.csv
  data/store/      the price store, built from them at first use; notebooks read its snapshots
  pipelines/*.yaml configurations of runs: weekly.yaml (price lists), marketplace.yaml (daily)
  notebooks/       the five questions of a run; each also opens by itself in JupyterLab
  reports/         index.html lists all runs; reports/RUN/ holds pages, executed notebooks,
                   tables (Parquet), manifest.json and logs, failed/ a notebook that failed

exit codes
  0   done, or nothing to do        2   a parameter, key or argument is not acceptable
  1   an error we did not foresee   3   data break a rule
  4   the store cannot be used      5   the allocation could not be solved
  6   the run is in progress already, or its graph could not be carried out
  10  a notebook raised an error    11  a notebook ran out of time
  12  a notebook's kernel died      130 stopped from outside; the same command takes it up again
  doctor: 1 where something is wrong that a run needs
"""

_RUN = """\
Check the configuration whole, pin the store's newest snapshot, run the five notebooks that are
not up to date (two at a time where the graph allows), and write reports/NAME-AS_OF-SNAPSHOT/.
Stopped or killed, the same command takes up where it stopped.
"""

_INGEST = """\
Take price files into the store and publish a new snapshot. Understood are our own tables
(Parquet or CSV, columns in data/README.md) and the JSON of `aws ec2 describe-spot-price-history`,
also several pages in one file. Without FILE, the bundled history. The same file twice changes nothing. Rows that break a rule go to
quarantine with file, line and reason, the rest lands.
"""


def _parser() -> argparse.ArgumentParser:
    manual = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "cloudarb", description=_MANUAL, epilog=_PLACES, formatter_class=manual, usage="cloudarb VERB ..."
    )
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, help=argparse.SUPPRESS)
    run = verbs.add_parser("run", description=_RUN, formatter_class=manual)
    run.add_argument("config", type=Path, help="a YAML file, such as pipelines/weekly.yaml")
    run.add_argument("--reports", type=Path, help="folder of the reports (default: reports/)")
    ingest = verbs.add_parser("ingest", description=_INGEST, formatter_class=manual)
    ingest.add_argument("files", type=Path, nargs="*", metavar="FILE")
    ingest.add_argument("--store", default="", help="folder of the store (default: data/store)")
    text = "Check this installation, a line each: ok, warn or fail, and the way out."
    verbs.add_parser("doctor", description=text)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Carry out one verb; return the exit code. What a person can mend ends without a traceback."""
    given = _parser().parse_args(arguments)
    from cloudarb_lib.errors import CloudArbError

    try:
        return _VERBS[given.verb](given)
    except CloudArbError as fault:
        print(f"cloudarb {given.verb}: {fault}", file=sys.stderr)
        return fault.exit_code
    except KeyboardInterrupt:
        print(f"cloudarb {given.verb}: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output, such as head, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _run(given: argparse.Namespace) -> int:
    from pipelines.run import REPORTS, run

    return run(given.config, reports=given.reports or REPORTS)


def _ingest(given: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from cloudarb_lib.ingest import ingest_files

    print(ingest_files(given.files, store_dir=given.store, now=datetime.now(UTC)))
    return 0


def _doctor(given: argparse.Namespace) -> int:
    from pipelines.doctor import examine

    worst = "ok"
    for level, what, way_out in examine():
        worst = "fail" if "fail" in (level, worst) else level if worst == "ok" else worst
        print(f"{level:<5} {what}" + (f"\n      -> {way_out}" if way_out else ""), flush=True)
    print({"ok": "all well", "warn": "usable; see warn above", "fail": "not usable; see fail above"}[worst])
    return int(worst == "fail")


_VERBS = {"run": _run, "ingest": _ingest, "doctor": _doctor}

if __name__ == "__main__":
    sys.exit(main())
