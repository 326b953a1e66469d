"""Processes that read and decode files, because a bad file may crash or block them."""
