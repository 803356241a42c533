"""The route of metrics, for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from prometheus_client import generate_latest

from pipelines.serve.answers import described

router = APIRouter()
TEXT = "text/plain; version=0.0.4; charset=utf-8"


@router.get("/metrics", response_class=Response, responses=described(media_type="text/plain"))
def metrics(request: Request) -> Response:
    """Metrics of store, runs, events and this server, in the text format of Prometheus."""
    return Response(generate_latest(request.app.state.metrics), media_type=TEXT)
