"""EC2's own interface through boto3: sessions, regions, pages, and what its errors mean."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from functools import cache
from typing import Any

from cloudarb_lib.live.client import Client
from cloudarb_lib.live.errors import FetchError, TransientError
from cloudarb_lib.live.feed import Part, Pull
from cloudarb_lib.live.walk import Walk

HOME_REGION = "us-east-1"
"""Asked which regions there are."""
REGION = re.compile(r"[a-z]+(-[a-z]+)+-\d+")
"""How AWS names a region; a local zone has more parts."""
_PASSING = frozenset(
    {
        "EC2ThrottledException",
        "InternalError",
        "InternalFailure",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "ServiceUnavailable",
        "Throttling",
        "ThrottlingException",
        "Unavailable",
    }
)
_WAYS_OUT = {
    "AuthFailure": "Check the key, and whether the account has this region enabled.",
    "ExpiredToken": "Log in again: the credentials have expired.",
    "InvalidClientTokenId": "Check the key.",
    "OptInRequired": "Enable this region for the account, or leave it out with --region.",
    "RequestExpired": "Set this machine's clock: the signature was too old.",
    "SignatureDoesNotMatch": "Check the secret key, and this machine's clock.",
    "UnauthorizedOperation": "Allow the action; docs/sources.md has the policy.",
}
_NEEDS = (
    "AWS credentials, from wherever the AWS CLI finds them (aws configure, a profile, a role);"
    " docs/sources.md has the policy"
)


@cache
def _descriptions() -> Any:
    """Return botocore's descriptions of services, which take a while to read."""
    from botocore.session import Session

    return Session().get_component("data_loader")


def _session() -> Any:
    """Return a session that looks for credentials afresh, and leaves times as EC2 writes them."""
    import boto3
    from botocore.session import Session

    session = Session()
    session.register_component("data_loader", _descriptions())
    # to read each time of a listing costs more than all else; the AWS CLI leaves them too
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=str)
    return boto3.Session(botocore_session=session)


def missing_credentials() -> str:
    """Return what is needed to ask EC2, '' where boto3 finds credentials."""
    return "" if _session().get_credentials() else _NEEDS


def ec2(region: str, pull: Pull) -> Any:
    """Return boto3's client for a region; tries and time-outs are those of our own client."""
    from botocore.config import Config

    config = Config(
        retries={"total_max_attempts": 1},
        connect_timeout=10,
        read_timeout=60,
        max_pool_connections=32,
        user_agent_extra="cloudarb",
    )
    return _session().client(
        "ec2", region_name=region, endpoint_url=pull.endpoint or None, config=config
    )


async def regions(client: Client, pull: Pull) -> tuple[str, ...]:
    """Return those of AWS among the regions asked for, else what the account has enabled."""
    if pull.regions:
        return tuple(region for region in pull.regions if REGION.fullmatch(region))
    answer = await _call(client, ec2(HOME_REGION, pull), "describe_regions", {})
    return tuple(sorted(region["RegionName"] for region in answer["Regions"]))


def region_to_probe(pull: Pull) -> str:
    """Return one region to try."""
    return next(filter(REGION.fullmatch, pull.regions), HOME_REGION)


async def regional_parts(client: Client, pull: Pull) -> list[Part]:
    """Return a part for each region."""
    return [Part(name=region) for region in await regions(client, pull)]


async def pages(
    client: Client, pull: Pull, region: str, operation: str, arguments: Mapping[str, Any]
) -> AsyncIterator[bytes]:
    """Yield the pages of a listing as the AWS CLI prints them in JSON.

    Parameters
    ----------
    client, pull : Client, Pull
        As ``Feed.fetch`` has them.
    region : str
        Where to ask.
    operation : str
        Such as ``describe_spot_price_history``.
    arguments : mapping
        Of the operation, as boto3 names them.

    Raises
    ------
    FetchError
        Where a page cannot be had, or the listing leads in a circle.
    """
    walk = Walk(f"{operation} in {region}")
    service = ec2(region, pull)
    token = ""
    while True:
        walk.go_to(token)
        asked = {**arguments, "NextToken": token} if token else arguments
        answer = await _call(client, service, operation, asked)
        token = answer.pop("NextToken", None) or ""
        yield json.dumps(answer).encode() + b"\n"
        if not token:
            return


async def _call(
    client: Client, service: Any, operation: str, arguments: Mapping[str, Any]
) -> dict[str, Any]:
    """Return one answer, without what boto3 says of the transport."""
    region = service.meta.region_name
    answer: dict[str, Any] = await client.call(
        lambda: getattr(service, operation)(**arguments),
        fault=lambda cause: _fault(cause, operation, region),
    )
    return {name: value for name, value in answer.items() if name != "ResponseMetadata"}


def _fault(cause: Exception, operation: str, region: str) -> FetchError:
    """Return what an exception of boto3 means; its own text may hold more than is to be shown."""
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError
    from botocore.parsers import ResponseParserError

    where = f"EC2 {operation} in {region}"
    if isinstance(cause, ClientError):
        code = cause.response.get("Error", {}).get("Code", "")
        status = cause.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in _PASSING or status >= 500 or status == 429:
            return TransientError(f"{where} answered {code or status}.", "Try again later.")
        return FetchError(f"{where} was refused ({code or status}).", _WAYS_OUT.get(code, ""))
    passing = (HTTPClientError, IncompleteReadError, ResponseParserError, ConnectionError)
    if isinstance(cause, passing):
        return TransientError(f"{where} failed: {type(cause).__name__}.", "Check the network.")
    if isinstance(cause, BotoCoreError):
        return FetchError(f"{where} failed: {type(cause).__name__}.", _NEEDS + ".")
    return FetchError(f"{where} failed: {type(cause).__name__}.")
