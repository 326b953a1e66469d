"""The LMDB environment of an index and everything read from it."""
