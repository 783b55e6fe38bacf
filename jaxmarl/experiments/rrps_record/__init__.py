"""The record agent of repeated rock-paper-scissors: simulated bots and a learned network over their predictions."""
