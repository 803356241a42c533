"""``cloudarb schedule``: runs by themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from pipelines.exit_codes import DONE

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="what is scheduled")]


def schedule_install(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.yaml", help="the configuration to run")],
    weekday: Annotated[
        str, typer.Option(metavar="DAY", help="mon, tue, ... sun, or daily")
    ] = "mon",
    at: Annotated[
        str, typer.Option(metavar="HH:MM", help="in UTC by systemd, in local time by cron")
    ] = "06:00",
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="as for cloudarb run")
    ] = None,
    alerts: Annotated[
        Path | None, typer.Option(metavar="FILE", help="rules to look at after each run")
    ] = None,
    collect: Annotated[
        bool, typer.Option("--collect", help="collect prices first, as cloudarb collect does")
    ] = False,
    keep: Annotated[int, typer.Option(metavar="N", help="runs that stay")] = 12,
    timer: Annotated[
        Literal["systemd", "crontab"] | None,
        typer.Option(help="what starts it  [default: what is there]"),
    ] = None,
) -> int:
    """Run a configuration every week, or every day.

    By a systemd timer of the user, else by a line of the crontab. Each turn runs the configuration
    as of the newest observation on record (--collect: after collecting prices), looks at alerts,
    and removes runs beyond the newest --keep; a lock lets one turn run at a time. What it printed
    is in reports/.state/schedule/.
    Addresses and passwords that alerts need stand in secrets.env of the working folder, which only
    its owner may read. Installed again, it replaces what was.
    """
    from pipelines.alerts.configuration import load_alerts
    from pipelines.run.config import LATEST, load_config, read_changes
    from pipelines.schedule import job, timers

    changes = {"as_of": LATEST, **read_changes(set_ or ())}
    name = load_config(config, changes=changes).settings["name"]
    timers.check_time(weekday, at)
    if alerts:
        load_alerts(alerts)
    planned = job.Job(
        name=name,
        config=str(_whole(config)),
        set=tuple(set_ or ()),
        alerts=str(_whole(alerts)) if alerts else "",
        keep=keep,
        weekday=weekday,
        at=at,
        timer=timer or timers.found_timer(),
        collect=collect,
    )
    earlier = next((known for known in job.jobs() if known.name == name), None)
    if earlier and earlier.timer != planned.timer:
        timers.remove(earlier)
    job.save(planned)
    print(timers.install(planned))
    fault = timers.fault_of(planned)
    if fault:
        print(f"but {fault}")
    log = f"reports/.state/schedule/{job.log_path(name).name}"
    print(f"cloudarb schedule status shows how it goes; the log: {log}")
    return DONE


def schedule_status() -> int:
    """What is scheduled, and how its last turn went."""
    from pipelines.schedule import job, timers

    found = job.jobs()
    for planned in found:
        fault = timers.fault_of(planned)
        when = f"{planned.name}: {planned.weekday} {planned.at}, by {planned.timer}"
        print(f"{when}; {fault}" if fault else when)
        print(f"  {_told_of(job.last_turn(planned.name))}")
        log = job.log_path(planned.name)
        if log.exists():
            print(f"  log: reports/.state/schedule/{log.name}")
    if not found:
        print("nothing is scheduled: cloudarb schedule install CONFIG")
    return DONE


def _told_of(turn: dict[str, Any] | None) -> str:
    """Say how a turn went."""
    if turn is None:
        return "no turn yet"
    if turn["ended_at"] is None:
        return f"a turn began {turn['began_at']}: it goes on, or was killed"
    codes = ", ".join(f"{step} {code}" for step, code in turn["codes"].items())
    return f"last turn {turn['began_at']} to {turn['ended_at']}, exit codes: {codes}"


def schedule_remove(name: NameArgument) -> int:
    """Run it no more; reports and log stay."""
    from pipelines.schedule import job, timers

    planned = job.load(name)
    timers.remove(planned)
    (job.folder() / f"{name}.json").unlink()
    print(f"{name} is scheduled no more")
    return DONE


def schedule_turn(name: NameArgument) -> int:
    """One turn of what is scheduled, as its timer starts it: prices, run, alerts, old runs.

    Where the extra observe is installed a turn is one trace from collection to report, in
    reports/.state/schedule/NAME.spans.jsonl: cloudarb report trace FILE draws it.
    """
    from cloudarb_lib.base import locations
    from pipelines.cli.alerts import alerts
    from pipelines.cli.collect import collect
    from pipelines.cli.prune import prune
    from pipelines.run import pipeline
    from pipelines.run.config import LATEST, read_changes
    from pipelines.schedule import job

    planned = job.load(name)
    changes = {"as_of": LATEST, **read_changes(planned.set)}
    steps: dict[str, Callable[[], int]] = {}
    secrets = locations.home() / job.SECRETS
    if secrets.exists():
        steps["secrets"] = lambda: job.take_secrets(secrets)
    if planned.collect:
        steps["collect"] = collect
    steps["run"] = lambda: pipeline.run(Path(planned.config), changes=changes)
    if planned.alerts:
        steps["alerts"] = lambda: alerts(Path(planned.alerts))
    steps["prune"] = lambda: prune(planned.keep, name)
    return job.turn(planned, steps)


def _whole(path: Path) -> Path:
    """Return the whole path of a file that people name from where they are, or by our root."""
    from cloudarb_lib.base import locations

    return (path if path.exists() else locations.find(path)).absolute()
