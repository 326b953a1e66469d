"""Keeping an index equal to its folders."""
