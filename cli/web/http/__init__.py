"""What every request passes: connection, security, bodies, schemas, errors and counts."""
