"""Return distributions: representations, distances, risk, losses, and dynamic programming over them."""
