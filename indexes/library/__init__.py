"""Libraries: many indexes read as one, planned together and built one by one."""
