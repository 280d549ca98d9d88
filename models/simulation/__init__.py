"""Recordings through the live windows and decision."""
