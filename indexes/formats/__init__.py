"""The photos of a collection as files for other programs: a module per format."""
