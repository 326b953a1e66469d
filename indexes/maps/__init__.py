"""A map of a collection: similar photos lie close together."""
