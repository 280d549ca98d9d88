"""Fit models, validate and calibrate them, and adapt them to new data."""
