"""Services that list prices over HTTP, as documented, over a few rows of ours."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pandas as pd

from cloudarb_lib.testing.http import Asked, Reply

JSON_TYPE = {"content-type": "application/json; charset=utf-8"}


@dataclass
class Files:
    """Files by their path: price lists, catalogues, what a repository holds.

    Parameters
    ----------
    contents : dict of str to bytes, text, dict or list
        The last two are sent as JSON.
    """

    contents: Mapping[str, Any]

    def __call__(self, asked: Asked) -> Reply:
        """Answer a request for a file."""
        if asked.path not in self.contents:
            return Reply(b"Not Found", 404)
        content = self.contents[asked.path]
        if isinstance(content, dict | list):
            return Reply(json.dumps(content).encode(), headers=JSON_TYPE)
        return Reply(content.encode() if isinstance(content, str) else content)


@dataclass
class AzurePrices:
    """Azure's Retail Prices: a filter of ``eq``, ``and``, ``or`` and brackets, pages with a link.

    Parameters
    ----------
    items : sequence of dict
        All there are.
    page_items : int
        Rows of a page.
    has_links : bool
        Whether a page links to the next one; without, more follows all the same.
    address : str
        Where the service listens, for its links.
    """

    items: Sequence[Mapping[str, Any]]
    page_items: int = 1000
    has_links: bool = True
    address: str = ""

    def __call__(self, asked: Asked) -> Reply:
        """Answer with a page; 400 for a filter that the service does not know."""
        wanted = asked.query["$filter"]
        if "contains(" in wanted:
            return Reply(b'{"Error":{"Code":"BadRequest"}}', 400, JSON_TYPE)
        chosen = [item for item in self.items if _fits(item, wanted)]
        skip = int(asked.query.get("$skip", "0"))
        page = chosen[skip : skip + self.page_items]
        link = None
        if self.has_links and skip + self.page_items < len(chosen):
            more = f"$filter={quote(wanted)}&$skip={skip + self.page_items}"
            link = f"{self.address}/api/retail/prices?{more}"
        body = {"BillingCurrency": "USD", "Items": page, "NextPageLink": link, "Count": len(page)}
        return Reply(json.dumps(body).encode(), headers=JSON_TYPE)


def _fits(item: Mapping[str, Any], wanted: str) -> bool:
    """Tell whether an item fits a filter."""
    any_of = re.search(r"\(([^)]*)\)", wanted)
    if any_of:
        rest = wanted.replace(any_of[0], "").strip().removesuffix("and")
        return any(_fits(item, part) for part in any_of[1].split(" or ")) and _fits(item, rest)
    pairs = re.findall(r"(\w+) eq '([^']*)'", wanted)
    return all(item.get(name) == value for name, value in pairs)


@dataclass
class GcpListing:
    """A listing of Google's: pages by token, a key or token in a header, months of Los Angeles.

    Parameters
    ----------
    entries : sequence of dict
        Those listed now.
    key : str
        Under which a page has them.
    past : dict of str to sequence of dict
        Those of a past month, by its name such as 2026-03.
    page_items : int
        Rows of a page, whatever is asked for.
    credential : str
        What one of the headers must hold.
    """

    entries: Sequence[Any]
    key: str = "skus"
    past: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    page_items: int = 5000
    credential: str = "a-key"

    def __call__(self, asked: Asked) -> Reply:
        """Answer with a page; 400 where startTime and endTime lie in more than one month."""
        shown = (asked.headers.get("x-goog-api-key"), asked.headers.get("authorization"))
        if not any(self.credential in (text or "") for text in shown):
            return Reply(b'{"error":{"code":403,"status":"PERMISSION_DENIED"}}', 403, JSON_TYPE)
        entries = self.entries
        if "startTime" in asked.query:
            start = pd.Timestamp(asked.query["startTime"]).tz_convert("America/Los_Angeles")
            end = pd.Timestamp(asked.query["endTime"]).tz_convert("America/Los_Angeles")
            if end > start.normalize().replace(day=1) + pd.offsets.MonthBegin(1):
                return Reply(b'{"error":{"code":400}}', 400, JSON_TYPE)
            entries = self.past.get(start.strftime("%Y-%m"), [])
        begin = int(asked.query.get("pageToken", "0"))
        end_row = begin + self.page_items
        page: dict[str, Any] = {self.key: list(entries[begin:end_row])}
        page["nextPageToken"] = str(end_row) if end_row < len(entries) else ""
        return Reply(json.dumps(page).encode(), headers=JSON_TYPE)
