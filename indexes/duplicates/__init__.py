"""Copies of one picture across a collection."""
