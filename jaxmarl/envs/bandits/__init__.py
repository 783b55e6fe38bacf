"""Bandits with several players."""
