"""Prices: no resources of its own, but the looks in which AWS is asked what the book of prices wants to know."""

from reaper.providers.prices.provider import PricesProvider

__all__ = ["PricesProvider"]
