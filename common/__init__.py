"""What every process shares; imports nothing of services, data or models."""

__version__ = "0.1.0"
RESTARTED = "ACTIONSTREAM_RESTARTED"  # in the environment of a process whose predecessor has crashed
