"""Spans of OpenTelemetry over the borders of processes: one trace from a command to its kernels.

Without the extra ``observe`` nothing is traced. Where the environment names a collector
(OTEL_EXPORTER_OTLP_ENDPOINT) spans go there besides.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudarb_lib.base import tracing

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider

SPANS = "CLOUDARB_SPANS"
"""Environment variable: the files that get the spans of a trace, separated as paths are."""
PARENT = "TRACEPARENT"
"""Environment variable: the span that a process works for (W3C Trace Context)."""
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
SPANS_FILE = "logs/spans.jsonl"
"""Of a run."""
MOST_BYTES = 2**20
"""From this size on a file of spans is put aside, in place of the one before."""


def is_installed() -> bool:
    """Return whether spans can be recorded."""
    return find_spec("opentelemetry") is not None and find_spec("opentelemetry.sdk") is not None


@contextmanager
def recorded(name: str, file: Path | None = None) -> Iterator[None]:
    """Record the work inside as a span, with all that is told below it, here and in children.

    Parameters
    ----------
    name : str
        Of the span.
    file : Path, optional
        Where spans go, beside where the process that started us says; put aside where it is large.
    """
    before = os.environ.get(SPANS, "").split(os.pathsep)
    named = dict.fromkeys(filter(None, [*before, str(file or "")]))
    if not named or not is_installed():
        yield
        return
    if file and file.exists() and file.stat().st_size > MOST_BYTES:
        file.replace(file.with_suffix(f"{file.suffix}.1"))
    target = os.pathsep.join(named)
    provider = _provider(target)
    tracer = provider.get_tracer("cloudarb")
    tracing.listen(tracer.start_as_current_span)
    try:
        with _variable(SPANS, target), _for_children(tracer, name, os.environ.get(PARENT)):
            yield
    finally:
        tracing.forget()
        provider.shutdown()


@contextmanager
def _for_children(tracer: Any, name: str, parent: str | None) -> Iterator[None]:
    """Record a span; processes that start while it lasts work for it."""
    from opentelemetry.trace import get_current_span
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    border = TraceContextTextMapPropagator()
    is_inside = get_current_span().get_span_context().is_valid  # of this process: nearer
    context = border.extract({"traceparent": parent}) if parent and not is_inside else None
    with tracer.start_as_current_span(name, context=context):
        carrier: dict[str, str] = {}
        border.inject(carrier)
        with _variable(PARENT, carrier["traceparent"]):
            yield


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    """Set an environment variable, and put it back afterwards."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name, None)
        if before is not None:
            os.environ[name] = before


def _provider(target: str) -> TracerProvider:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import (
        BatchSpanProcessor,
        SimpleSpanProcessor,
        SpanExporter,
        SpanExportResult,
    )

    class Lines(SpanExporter):
        """Appends a line for each span; several processes may."""

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            text = "".join(json.dumps(_as_json(span)) + "\n" for span in spans)
            for file in target.split(os.pathsep):
                Path(file).parent.mkdir(parents=True, exist_ok=True)
                with open(file, "a", encoding="utf-8") as lines:
                    lines.write(text)
            return SpanExportResult.SUCCESS

    provider = TracerProvider(resource=Resource.create({"service.name": "cloudarb"}))
    provider.add_span_processor(SimpleSpanProcessor(Lines()))
    if os.environ.get(ENDPOINT):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def _as_json(span: ReadableSpan) -> dict[str, Any]:
    context = span.get_span_context()
    assert context is not None
    assert span.start_time is not None
    assert span.end_time is not None
    return {
        "trace_id": f"{context.trace_id:032x}",
        "span_id": f"{context.span_id:016x}",
        "parent_id": f"{span.parent.span_id:016x}" if span.parent else "",
        "name": span.name,
        "started_ns": span.start_time,
        "seconds": (span.end_time - span.start_time) / 1e9,
        "pid": os.getpid(),
    }


def load_ipython_extension(shell: Any) -> None:
    """Record each cell of a kernel, and what the library tells, for the span that started it."""
    if not os.environ.get(SPANS) or not is_installed():
        return
    tracer = _provider(os.environ[SPANS]).get_tracer("cloudarb")
    parent = os.environ.get(PARENT)
    tracing.listen(tracer.start_as_current_span)
    running: list[AbstractContextManager[None]] = []
    count = iter(range(1, 10_000))

    def begin(_: Any) -> None:
        running.append(_for_children(tracer, f"cell {next(count)}", parent))
        running[-1].__enter__()

    def end(_: Any) -> None:
        if running:
            running.pop().__exit__(None, None, None)

    shell.events.register("pre_run_cell", begin)
    shell.events.register("post_run_cell", end)
