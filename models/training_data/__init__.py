"""Turn recordings into the set a model is fitted to."""
