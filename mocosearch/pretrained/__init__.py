"""Published networks as encoders."""
