"""Cars that share a stretch of road: merging and crossing."""
