"""The routes, and the description of them (OpenAPI)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException

from cloudarb_lib import __version__
from cloudarb_lib.base.errors import CloudArbError
from pipelines.serve import faults
from pipelines.serve.plans import Plans
from pipelines.serve.records import Records
from pipelines.serve.routes import market, observation, plans, runs

_TOKEN = HTTPBearer(auto_error=False, description="A token of cloudarb tokens add.")
_PROBLEMS = (401, 403, 404, 413, 422, 429, 500, 503, 507)


def api(records: Records, made: Plans, metrics: CollectorRegistry) -> FastAPI:
    """Return the application behind the front: routes that ask nobody for a token.

    Parameters
    ----------
    records : Records
        What is served.
    made : Plans
        Where plans are made.
    metrics : CollectorRegistry
        What /metrics tells.
    """
    told: dict[str, Any] = {"content": {faults.MEDIA_TYPE: {}}, "model": faults.Problem}
    app = FastAPI(
        title="CloudArb",
        version=__version__,
        summary="Prices of cloud compute, forecasts, plans and their risk.",
        docs_url=None,  # pages that load scripts from elsewhere
        redoc_url=None,
        dependencies=[Security(_TOKEN)],
        responses={code: told | {"description": HTTPStatus(code).phrase} for code in _PROBLEMS},
    )
    app.state.records = records
    app.state.plans = made
    app.state.metrics = metrics
    app.include_router(market.router)
    app.include_router(runs.router)
    app.include_router(plans.router)
    app.include_router(observation.router)
    app.add_exception_handler(CloudArbError, _fault)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_exception_handler(HTTPException, _not_routed)
    app.add_exception_handler(Exception, _unforeseen)
    return app


def _answer(status: int, what: str, way_out: str) -> Response:
    content = faults.problem(HTTPStatus(status), what, way_out)
    return Response(content, status, media_type=faults.MEDIA_TYPE)


def _fault(_: Request, error: Exception) -> Response:
    assert isinstance(error, CloudArbError)
    return _answer(faults.status_of(error), error.what, error.way_out)


def _not_valid(_: Request, error: Exception) -> Response:
    """Tell which parameter is not acceptable; values are shown, never run."""
    assert isinstance(error, RequestValidationError)
    told = [
        f"{'.'.join(map(str, each['loc']))}: {each['msg']} (given: {str(each['input'])[:80]!r})"
        for each in error.errors()
    ]
    return _answer(422, "; ".join(told), "See /openapi.json for what each route takes.")


def _not_routed(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _answer(error.status_code, str(error.detail), "See /openapi.json for the routes.")


def _unforeseen(_: Request, __: Exception) -> Response:
    """Answer; starlette raises the error again, and uvicorn logs it."""
    return Response(faults.unforeseen(), 500, media_type=faults.MEDIA_TYPE)
