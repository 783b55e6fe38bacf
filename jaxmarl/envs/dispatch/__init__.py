"""Ride-hailing dispatch."""
