"""What goes wrong, as problem JSON: what, which value, and the way out.

References
----------
RFC 9457, Problem Details for HTTP APIs.
"""

from __future__ import annotations

import json
from http import HTTPStatus

from pydantic import BaseModel, ConfigDict

from cloudarb_lib.base.errors import CloudArbError, ParameterError, StoreError

MEDIA_TYPE = "application/problem+json"


class NotThere(CloudArbError):
    """What a request names does not exist."""


class NotAllowed(CloudArbError):
    """The token of a request does not allow what it asks for."""


class NoToken(CloudArbError):
    """A request has no token that is known."""


class TooLarge(CloudArbError):
    """A request brings more than anything asks for."""


class Busy(CloudArbError):
    """As much is being worked on as is allowed."""


class Full(CloudArbError):
    """What a request asks for cannot be written."""


STATUSES: dict[type[CloudArbError], HTTPStatus] = {
    NoToken: HTTPStatus.UNAUTHORIZED,
    NotAllowed: HTTPStatus.FORBIDDEN,
    NotThere: HTTPStatus.NOT_FOUND,
    ParameterError: HTTPStatus.UNPROCESSABLE_ENTITY,
    TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Busy: HTTPStatus.TOO_MANY_REQUESTS,
    Full: HTTPStatus.INSUFFICIENT_STORAGE,
    StoreError: HTTPStatus.SERVICE_UNAVAILABLE,
}
"""The status of each kind of error; any other is one of ours."""


class Problem(BaseModel):
    """An answer that tells what is wrong, and what to do about it."""

    model_config = ConfigDict(extra="forbid")

    type: str
    title: str
    status: int
    detail: str
    way_out: str


def status_of(error: CloudArbError) -> HTTPStatus:
    """Return the status of HTTP that an error gets."""
    kinds = (kind for kind in STATUSES if isinstance(error, kind))
    return STATUSES.get(next(kinds, CloudArbError), HTTPStatus.INTERNAL_SERVER_ERROR)


def unforeseen() -> bytes:
    """Return the body of an answer to what failed by a fault of ours."""
    what = "an error that nobody foresaw."
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, what, "Its log tells whoever runs the server.")


def problem(status: HTTPStatus, what: str, way_out: str = "") -> bytes:
    """Return the body of an answer that tells what is wrong.

    Parameters
    ----------
    status : HTTPStatus
        Its phrase is the title.
    what, way_out : str
        As an error of the library has them.
    """
    content = {
        "type": "about:blank",
        "title": status.phrase,
        "status": int(status),
        "detail": what,
        "way_out": way_out,
    }
    return json.dumps(content).encode()
