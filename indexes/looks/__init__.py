"""Searches with names, which learn from answers."""
