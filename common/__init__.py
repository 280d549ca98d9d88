"""Hold what all processes share; it imports nothing of services, data or models."""
