"""The command ``cloudarb``. Start-up is quick: each verb imports what it needs when it is used."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import typer

from pipelines.cli import (
    alerts,
    allocate,
    backtest,
    collect,
    deadletter,
    doctor,
    events,
    export,
    forecast,
    gateway,
    ingest,
    lab,
    metrics,
    profile,
    prune,
    quality,
    quarantine,
    replay,
    report,
    rerun,
    risk_backtest,
    run,
    schedule,
    serve,
    tokens,
    trace,
)
from pipelines.cli.advise import advise_app
from pipelines.cli.manual import Manual, Verb
from pipelines.observe.tracing import recorded


def _group(what: str) -> typer.Typer:
    """Return a group of verbs, such as ``cloudarb schedule``."""
    return typer.Typer(
        help=what, subcommand_metavar="QUESTION ...", options_metavar="", rich_markup_mode=None
    )


app = typer.Typer(
    cls=Manual,
    help="""
    Where to rent compute, for how long, what it will cost and how wrong that can be: from price
    records to a plan with its risk, as a report of pages.
    """,
    subcommand_metavar="VERB ...",
    options_metavar="",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
risk_app = _group("Questions on cost-at-risk.")
deadletter_app = _group("What could not be collected.")
quarantine_app = _group("Prices found wrong and rows held back.")
tokens_app = _group("Who may ask the server for what.")
report_app = _group("Pages of runs to hand on, and what changed between two.")
events_app = _group("What happened, who was told, and plans that follow prices.")
schedule_app = _group("Runs by themselves.")
app.command("run", cls=Verb, options_metavar="[--set KEY=VALUE] [OPTIONS]")(run.run)
app.command("alerts", cls=Verb, options_metavar="[--reports FOLDER]")(alerts.alerts)
app.command("rerun", cls=Verb, options_metavar="[--reports FOLDER]")(rerun.rerun)
app.command("prune", cls=Verb, options_metavar="--keep N [OPTIONS]")(prune.prune)
schedule_app.command("install", cls=Verb, options_metavar="[--weekday DAY] [OPTIONS]")(
    schedule.schedule_install
)
schedule_app.command("status", cls=Verb, options_metavar="[--help]")(schedule.schedule_status)
schedule_app.command("remove", cls=Verb, options_metavar="")(schedule.schedule_remove)
schedule_app.command("turn", cls=Verb, options_metavar="")(schedule.schedule_turn)
app.add_typer(schedule_app, name="schedule")
events_app.command("tail", cls=Verb, options_metavar="[--dead] [OPTIONS]")(events.events_tail)
events_app.command("replay", cls=Verb, options_metavar="[--after N]")(events.events_replay)
events_app.command("publish", cls=Verb, options_metavar="--to ADDRESS [OPTIONS]")(
    events.events_publish
)
events_app.command("replan", cls=Verb, options_metavar="--plan FOLDER --over-usd USD [OPTIONS]")(
    events.events_replan
)
app.add_typer(events_app, name="events")
app.command("metrics", cls=Verb, options_metavar="[--out FILE] [OPTIONS]")(metrics.metrics)
app.command("profile", cls=Verb, options_metavar="[--out FOLDER] [OPTIONS]")(profile.profile)
app.command("quality", cls=Verb, options_metavar="[--cover] [OPTIONS]")(quality.quality)
app.command("ingest", cls=Verb, options_metavar="[OPTIONS]")(ingest.ingest)
quarantine_app.command("list", cls=Verb, options_metavar="[--all] [OPTIONS]")(
    quarantine.quarantine_list
)
quarantine_app.command("show", cls=Verb, options_metavar="[OPTIONS]")(quarantine.quarantine_show)
quarantine_app.command("release", cls=Verb, options_metavar="--why TEXT [OPTIONS]")(
    quarantine.quarantine_release
)
quarantine_app.command("drop", cls=Verb, options_metavar="--why TEXT [OPTIONS]")(
    quarantine.quarantine_drop
)
app.add_typer(quarantine_app, name="quarantine")
app.command("collect", cls=Verb, options_metavar="[--provider NAME ...] [--every STEP] [OPTIONS]")(
    collect.collect
)
deadletter_app.command("list", cls=Verb, options_metavar="[--store FOLDER]")(
    deadletter.deadletter_list
)
deadletter_app.command("retry", cls=Verb, options_metavar="[--confirm] [OPTIONS]")(
    deadletter.deadletter_retry
)
deadletter_app.command("drop", cls=Verb, options_metavar="[--store FOLDER]")(
    deadletter.deadletter_drop
)
app.add_typer(deadletter_app, name="deadletter")
app.command("trace", cls=Verb, options_metavar="[--store FOLDER]")(trace.trace)
app.command("replay", cls=Verb, options_metavar="[--into FOLDER] [OPTIONS]")(replay.replay)
app.command("backtest", cls=Verb, options_metavar="[--panel NAME | --history FILE] [OPTIONS]")(
    backtest.backtest
)
app.command("forecast", cls=Verb, options_metavar="--as-of DAY --out FOLDER [OPTIONS]")(
    forecast.forecast
)
app.command("allocate", cls=Verb, options_metavar="--as-of DAY --out FOLDER [OPTIONS]")(
    allocate.allocate
)
app.add_typer(advise_app, name="advise")
app.command("lab", cls=Verb, options_metavar="[OPTIONS]")(lab.lab)
app.command("dashboard", cls=Verb, options_metavar="[OPTIONS]")(lab.dashboard)
app.command("doctor", cls=Verb, options_metavar="[--live] [OPTIONS]")(doctor.doctor)
risk_app.command("backtest", cls=Verb, options_metavar="[--history FILE] [OPTIONS]")(
    risk_backtest.risk_backtest
)
app.add_typer(risk_app, name="risk")
app.command("export", cls=Verb, options_metavar="--out FILE [OPTIONS]")(export.export)
app.command("serve", cls=Verb, options_metavar="[OPTIONS]")(serve.serve)
app.command("gateway", cls=Verb, options_metavar="[OPTIONS]")(gateway.gateway)
tokens_app.command("add", cls=Verb, options_metavar="[--scope read|plan ...]")(tokens.tokens_add)
tokens_app.command("list", cls=Verb, options_metavar="[--help]")(tokens.tokens_list)
tokens_app.command("revoke", cls=Verb, options_metavar="")(tokens.tokens_revoke)
app.add_typer(tokens_app, name="tokens")
report_app.command("export", cls=Verb, options_metavar="[--out FILE.html] [--reports FOLDER]")(
    report.report_export
)
report_app.command("diff", cls=Verb, options_metavar="[--reports FOLDER]")(report.report_diff)
report_app.command("trace", cls=Verb, options_metavar="[--least SHARE] [--reports FOLDER]")(
    report.report_trace
)
report_app.command("lineage", cls=Verb, options_metavar="[--offer OFFER] [OPTIONS]")(
    report.report_lineage
)
app.add_typer(report_app, name="report")


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one verb.

    Parameters
    ----------
    arguments : sequence of str, optional
        The words after ``cloudarb``; those of the process without.

    Returns
    -------
    int
        The exit code, see ``pipelines.exit_codes``. What a person can mend ends with a message on
        stderr, without a traceback.
    """
    command = typer.main.get_command(app)
    with recorded("cloudarb"):  # where another process traces what it started
        return _carried_out(command, arguments)


def _carried_out(command: Any, arguments: Sequence[str] | None) -> int:
    try:
        return int(command.main(arguments, prog_name="cloudarb", standalone_mode=False) or 0)
    except typer.TyperException as mistake:  # on the command line itself
        context = getattr(mistake, "ctx", None) or typer.Context(command, info_name="cloudarb")
        print(context.get_usage(), file=sys.stderr)
        what = mistake.format_message().replace("Value error, ", "")  # how pydantic begins
        print(f"{context.command_path}: error: {what}", file=sys.stderr)
        return mistake.exit_code
