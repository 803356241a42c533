"""What of an address may be kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudarb_lib.live.secrets import without_secrets

SECRETS = (
    "key",
    "api_key",
    "apikey",
    "X-Goog-Api-Key",
    "token",
    "access_token",
    "secret",
    "sig",
    "X-Amz-Signature",
    "X-Amz-Credential",
    "X-Amz-Security-Token",
    "AWSAccessKeyId",
    "password",
)


@pytest.mark.parametrize("name", SECRETS)
@given(value=st.text("abcXYZ019", min_size=12))
def test_no_secret_stays(name, value):
    shown = without_secrets(f"https://api.example.com/v1/skus?pageSize=5&{name}={value}#top")
    assert value not in shown
    assert shown.startswith("https://api.example.com/v1/skus?pageSize=5&")


def test_user_and_password_go():
    shown = without_secrets("https://me:hunter2@prices.example.com:8443/list")
    assert shown == "https://prices.example.com:8443/list"


@pytest.mark.parametrize(
    "url",
    [
        "https://prices.azure.com/api/retail/prices?$filter=armRegionName%20eq%20%27eu%27&$skip=9",
        "https://billing.example.com/v1/skus?pageToken=abc&monkey=1",
        "http://[::1]:8080/version",
    ],
)
def test_what_is_no_secret_stays(url):
    assert without_secrets(url) == url
