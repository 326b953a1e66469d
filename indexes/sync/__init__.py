"""The index made equal to its folders."""
