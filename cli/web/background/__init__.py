"""Work beside the requests: child processes, the map, copies, and memory given back."""
