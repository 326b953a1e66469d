"""The web gallery and its HTTP API: presentation only, over `indexes.Reader`."""
