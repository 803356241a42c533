"""``cloudarb events``: what happened, who was told, and plans that follow prices."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.extras import require
from pipelines.cli.options import ReportsOption, StoreOption
from pipelines.exit_codes import ALERT, DONE, HELD_BACK

if TYPE_CHECKING:
    from pipelines.events.deliver import Delivery
    from pipelines.events.ledger import Ledger


def events_tail(
    count: Annotated[int, typer.Option(metavar="N", min=1, help="so many, the newest")] = 20,
    kind: Annotated[str, typer.Option(metavar="KIND", help="prices, alarm, plan or alert")] = "",
    dead: Annotated[bool, typer.Option("--dead", help="what a consumer could not handle")] = False,
    store: StoreOption = "",
    reports: ReportsOption = None,
) -> int:
    """What happened last: new prices, alarms, plans, alerts.

    Looks into the store and at the runs for what is not in the event table yet. Prints number, time
    in UTC, kind, subject and what else is known; with --dead what could not be handled, by whom,
    and why.
    """
    import json

    from cloudarb_lib.base.errors import ParameterError, did_you_mean
    from pipelines.events.ledger import KINDS

    if kind and kind not in KINDS:
        raise ParameterError(
            f"no kind {kind!r}{did_you_mean(kind, KINDS)}.", f"Use {', '.join(KINDS)}."
        )
    with _gathered(store, reports) as ledger:
        if dead:
            for letter in ledger.dead_letters():
                again = ", due again" if letter.is_due else ""
                told = letter.event
                print(f"{letter.consumer}  {told.kind} {told.subject}  tried {letter.tries}{again}")
                print(f"  {letter.why}")
            return DONE
        for number, told in ledger.newest(count, kind):
            time = told.at[:19].replace("T", " ")
            print(f"{number:>6}  {time}  {told.kind:<7} {told.subject}  {json.dumps(told.body)}")
    return DONE


def events_replay(
    consumer: Annotated[str, typer.Argument(metavar="CONSUMER", help="such as publish")],
    after: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="everything behind that number")
    ] = None,
    reports: ReportsOption = None,
) -> int:
    """Have a consumer handle events again.

    What it could not handle, or with --after everything behind a number; it does so the next time
    it works.
    """
    with _ledger(reports) as ledger:
        print(f"{consumer} is given {ledger.replay(consumer, after)} events again")
    return DONE


def events_publish(
    to: Annotated[str, typer.Option(metavar="ADDRESS", help="nats://HOST:PORT or kafka://...")],
    store: StoreOption = "",
    reports: ReportsOption = None,
) -> int:
    """Publish events to NATS JetStream or Kafka.

    Those that are new since the last time, each at least once, in order, with an id by which a
    consumer drops doubles. To other machines tls://HOST:PORT or kafka+tls://HOST:PORT; a token for
    NATS stands in CLOUDARB_EVENTS_TOKEN. Exit code 13 where the broker does not answer: the same
    command goes on from there.
    """
    require("events", *(["confluent_kafka"] if to.startswith("kafka") else ["nats"]))
    from pipelines.events.deliver import deliver
    from pipelines.events.publish import publisher

    with _gathered(store, reports) as ledger, publisher(to, os.environ) as handle:
        done = deliver(ledger, "publish", handle)
    print(f"published {done.handled} events")
    return _code_of(done, "publish")


def events_replan(
    demand: Annotated[Path, typer.Argument(metavar="DEMAND.yaml", help="demand file")],
    plan: Annotated[Path, typer.Option(metavar="FOLDER", help="the plan (cloudarb allocate)")],
    over_usd: Annotated[
        float, typer.Option(metavar="USD", min=0, help="prices that move it by less are let pass")
    ],
    weeks: Annotated[float, typer.Option(metavar="N", min=1, help="horizon")] = 13.0,
    store: StoreOption = "",
    reports: ReportsOption = None,
) -> int:
    """Plan anew what new prices touch, and nothing else.

    The first time today's prices are remembered. From then on, where prices move the plan by more
    than --over-usd over the horizon, the workloads concerned are planned anew from the last plan,
    all others staying as they are; the plan goes into its folder, an alert into the event table.
    Exit code 9 then. Prices are list prices of the newest observation, without a forecast.
    """
    from cloudarb_lib.allocate import load_demand
    from pipelines.cli.plan_folder import last_plan
    from pipelines.cli.plan_watch import PlanWatch
    from pipelines.events.deliver import deliver

    load_demand(demand)  # what is wrong with files is no fault of an event, to be put aside with it
    last_plan(plan)
    watch = PlanWatch(demand, plan, over_usd, weeks, store)
    name = f"replan {plan.absolute()}"
    with _gathered(store, reports) as ledger:
        number, memory = ledger.position(name)
        if not memory:
            newest = ledger.newest(1)
            with ledger.at_once():
                ledger.move(name, newest[0][0] if newest else number, watch.begin())
            print("today's prices are remembered; events from now on are looked at")
            return DONE
        done = deliver(ledger, name, watch.handle)
    for told in done.events:
        if told.kind == "alert":
            print(told.body["text"])
    print(f"{done.handled} events looked at")
    return _code_of(done, name) or (ALERT if done.events else DONE)


def _code_of(done: Delivery, consumer: str) -> int:
    if done.buried:
        print(f"{done.buried} could not be handled by {consumer}: cloudarb events tail --dead")
    return HELD_BACK if done.buried else DONE


def _ledger(reports: Path | None) -> Ledger:
    from cloudarb_lib.base import locations
    from pipelines.events.ledger import Ledger, ledger_file

    return Ledger(ledger_file(reports or locations.reports()))


def _gathered(store: str, reports: Path | None) -> Ledger:
    """Return the event table with what the store and the runs have told since."""
    from cloudarb_lib.base import locations
    from cloudarb_lib.store import open_snapshot
    from pipelines.events.gather import gather_prices, gather_runs

    ledger = _ledger(reports)
    with open_snapshot(store) as snapshot:
        gather_prices(ledger, snapshot)
    gather_runs(ledger, reports or locations.reports())
    return ledger
