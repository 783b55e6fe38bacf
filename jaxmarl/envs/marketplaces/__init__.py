"""Marketplaces of sellers and buyers with scripted sides: price crashes, lemons, two-sided search."""
