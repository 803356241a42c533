"""The catalogue that gpuhunt reads: a CSV file for each provider, in its columns of version 2.

References
----------
https://github.com/dstackai/gpuhunt
"""

from __future__ import annotations

import pandas as pd

from cloudarb_lib.base.errors import ParameterError, did_you_mean
from pipelines.exports.gpu_names import name_and_size, vendor

COLUMNS = (
    "instance_name",
    "location",
    "price",
    "cpu",
    "memory",
    "gpu_count",
    "gpu_name",
    "gpu_memory",
    "spot",
    "disk_size",
    "gpu_vendor",
    "flags",
)
"""Columns of ``PROVIDER.csv`` in gpuhunt's catalog.zip."""
_LISTED_BY_ZONE = "gcp"
_OFFER = ["instance_name", "location", "spot", "price"]


def catalogue(offers: pd.DataFrame, provider: str) -> pd.DataFrame:
    """Return the catalogue of a provider, at the prices of a time.

    Parameters
    ----------
    offers : DataFrame
        Table ``offers``, by zone where zones are known; Google Cloud alone is listed by zone.
    provider : str
        Its name, such as aws.

    Returns
    -------
    DataFrame
        ``COLUMNS``; prices in USD per hour, memory in GiB. Offers whose machine has no
        specification are left out, since gpuhunt needs one.

    Raises
    ------
    ParameterError
        Where nothing of the provider is on offer by the hour.
    """
    hourly = offers[(offers["provider"] == provider) & (offers["term"] == "")]
    hourly = hourly.dropna(subset=["vcpus", "memory_gib"])
    if hourly.empty:
        names = sorted(offers["provider"].astype(str).unique())
        raise ParameterError(
            f"nothing of {provider!r} is on offer{did_you_mean(provider, names)}.",
            f"Use {', '.join(names)}, or another as_of.",
        )
    in_zones = (hourly["zone"] != "") & (hourly["provider"] == _LISTED_BY_ZONE)
    named = hourly["gpu_model"].fillna("").astype(str).map(name_and_size)
    gpu_name = named.str[0]
    size_gib = pd.to_numeric(named.str[1].str.removesuffix("GB"))
    has_gpus = hourly["gpu_count"] > 0
    rows = pd.DataFrame(
        {
            "instance_name": hourly["instance_type"],
            "location": hourly["zone"].where(in_zones, hourly["region"]),
            "price": hourly["price_usd_per_hour"],
            "cpu": hourly["vcpus"].astype(int),
            "memory": hourly["memory_gib"],
            "gpu_count": hourly["gpu_count"].fillna(0).astype(int),
            "gpu_name": gpu_name.where(has_gpus),
            "gpu_memory": hourly["gpu_memory_gib"].fillna(size_gib).where(has_gpus),
            "spot": hourly["purchase_option"] == "spot",
            "disk_size": None,
            "gpu_vendor": gpu_name.map(vendor).where(has_gpus),
            "flags": None,
        }
    )
    return rows[list(COLUMNS)].drop_duplicates(_OFFER).reset_index(drop=True)
