"""Measure how well a model does, and show it."""
