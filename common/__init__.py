"""What every process shares; imports nothing of services, data or models."""
