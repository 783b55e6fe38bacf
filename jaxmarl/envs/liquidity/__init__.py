"""Liquidity: who provides it, at what spread, and when it disappears. Games, quoting, and a dealer market."""
