"""Tabular Markov games as environments, and small environments as tables."""
