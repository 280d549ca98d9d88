"""From recordings to what a model is fitted to."""
