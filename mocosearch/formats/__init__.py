"""An encoder as files for other programs: a module per format."""
