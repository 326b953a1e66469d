"""The terminal: one file a command, each a plain function with its options."""
