"""Run a service: its loop, its heartbeat, and its start and end together with others."""
