"""From price events to panels and to the offers of a moment, and what they tell."""

from cloudarb_lib.market.market import Market, read_market, read_markets

__all__ = ["Market", "read_market", "read_markets"]
