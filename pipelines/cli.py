"""The command ``cloudarb``. Start-up is quick: each verb imports what it needs when it is used."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from pipelines import allocate, backtest, risk_backtest


def main(arguments: list[str] | None = None) -> int:
    """Carry out one verb; return the exit code. What a person can mend ends without a traceback."""
    given = _parser().parse_args(arguments)
    from cloudarb_lib.base.errors import CloudArbError

    try:
        return int(given.carry_out(given))
    except CloudArbError as fault:
        print(f"cloudarb {given.verb}: {fault}", file=sys.stderr)
        return fault.exit_code
    except KeyboardInterrupt:
        print(f"cloudarb {given.verb}: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output, such as head, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("cloudarb")
    parser.format_help = Path(__file__).with_name("manual.txt").read_text
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    run = verbs.add_parser("run", description="Prices to report; does only what is not up to date.")
    run.add_argument("config", type=Path, help="a YAML file, such as pipelines/weekly.yaml")
    run.add_argument("--reports", type=Path, help="folder of the reports (default: reports/)")
    run.set_defaults(carry_out=_run)
    ingest = verbs.add_parser("ingest", description="Take price files into the store.")
    ingest.add_argument(
        "files", type=Path, nargs="*", metavar="FILE", help="Parquet, CSV or EC2 JSON"
    )
    ingest.add_argument("--store", default="", help="folder of the store (default: data/store)")
    ingest.set_defaults(carry_out=_ingest)
    doctor = verbs.add_parser("doctor", description="Is everything in place? What to do if not.")
    doctor.set_defaults(carry_out=_doctor)
    scores = verbs.add_parser(
        "backtest", description="What would the forecasts of the past have been worth?"
    )
    plan = verbs.add_parser(
        "allocate", description="A plan for a file of workloads at the prices of a day."
    )
    risk = verbs.add_parser("risk", description="Questions on cost-at-risk.")
    questions = risk.add_subparsers(dest="question", metavar="QUESTION", required=True)
    held = questions.add_parser(
        "backtest", description="Did cost-at-risk hold up against what happened?"
    )
    for verb, module in ((scores, backtest), (plan, allocate), (held, risk_backtest)):
        module.arguments(verb)
        verb.set_defaults(carry_out=module.carry_out)
    return parser


def _run(given: argparse.Namespace) -> int:
    from pipelines.run import run

    return run(given.config, reports=given.reports)


def _ingest(given: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from cloudarb_lib.store import ingest_files

    print(ingest_files(given.files, store_dir=given.store, now=datetime.now(UTC)))
    return 0


def _doctor(given: argparse.Namespace) -> int:
    from pipelines.doctor import examine

    levels = set()
    for level, what, way_out in examine():
        levels.add(level)
        print(f"{level:<5} {what}" + (f"\n      -> {way_out}" if way_out else ""), flush=True)
    print("not usable: see fail above" if "fail" in levels else "usable")
    return int("fail" in levels)


if __name__ == "__main__":
    sys.exit(main())
