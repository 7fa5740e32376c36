"""Tollway: an LLM gateway that meters, limits and bills from one ledger."""

__version__ = "0.1.0"
