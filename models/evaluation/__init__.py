"""How well a model does, and how that is shown."""
