"""LARS and Muon."""
