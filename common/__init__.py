"""What every process shares; imports nothing of services, data or models."""

RESTARTED = "ACTIONSTREAM_RESTARTED"  # in the environment of a process whose predecessor has crashed
