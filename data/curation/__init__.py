"""Finding and correcting bad sequences."""
