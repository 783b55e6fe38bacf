"""Presets: what is trained and evaluated under which settings, one experiment a module."""
