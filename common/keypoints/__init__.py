"""Turn frames into windows of normalised features."""
