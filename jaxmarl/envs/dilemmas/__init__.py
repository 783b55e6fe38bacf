"""Social dilemmas in time: iterated matrix games and the Coin Game."""
