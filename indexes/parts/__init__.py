"""Keys of regions: find a thing inside photos, and where it is."""
