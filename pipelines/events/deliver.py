"""Events to a consumer: each at least once, in order; what it cannot handle is put aside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cloudarb_lib.base.errors import CloudArbError
from cloudarb_lib.live.messages import DeliveryError
from pipelines.events.ledger import Event, Ledger, reason


@dataclass(frozen=True)
class Handled:
    """What a consumer made of an event.

    Parameters
    ----------
    events : sequence of Event
        What happened because of it.
    memory : mapping, optional
        What the consumer remembers from now on; None: what it did before.
    """

    events: Sequence[Event] = ()
    memory: Mapping[str, Any] | None = None


Handler = Callable[[Event, Mapping[str, Any]], Handled]
"""Handles an event, given what the consumer remembers. DeliveryError: not now, nothing is wrong
with the event; any other error of ours puts it aside."""


@dataclass
class Delivery:
    """What came of a delivery.

    Parameters
    ----------
    handled, buried : int
        Events.
    events : list of Event
        What happened because of them.
    """

    handled: int = 0
    buried: int = 0
    events: list[Event] = field(default_factory=list)


def deliver(ledger: Ledger, consumer: str, handle: Handler) -> Delivery:
    """Give a consumer the events that it has not handled; those due again first.

    What an event leads to and how far the consumer is are written in one transaction. Killed
    before it, the consumer gets the event again.

    Parameters
    ----------
    ledger : Ledger
        The events.
    consumer : str
        Its name.
    handle : callable
        ``Handler``.

    Raises
    ------
    DeliveryError
        As ``handle`` does; what was handled before stays so.
    """
    done = Delivery()
    number, _ = ledger.position(consumer)
    for letter in ledger.dead_letters(consumer):
        if letter.is_due:
            _give(ledger, consumer, handle, (number, letter.event), done)
    while events := ledger.after(number, limit=1):
        _give(ledger, consumer, handle, events[0], done)
        number = events[0][0]
    return done


def _give(
    ledger: Ledger, consumer: str, handle: Handler, numbered: tuple[int, Event], done: Delivery
) -> None:
    """Give an event, and note what came of it."""
    number, told = numbered
    _, memory = ledger.position(consumer)
    try:
        handled = handle(told, memory)
    except DeliveryError:
        raise
    except CloudArbError as fault:
        with ledger.at_once():
            ledger.bury(consumer, told.event_id, reason(fault), _now())
            ledger.move(consumer, number, memory)
        done.buried += 1
        return
    with ledger.at_once():
        ledger.add(handled.events)
        ledger.mended(consumer, told.event_id)
        ledger.move(consumer, number, memory if handled.memory is None else handled.memory)
    done.handled += 1
    done.events += handled.events


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
