"""Published networks: read from files, downloaded by name, made into encoders."""
