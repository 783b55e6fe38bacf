"""Spatial games on a grid: stag hunts, foraging, commons, pursuit."""
