"""Find and correct bad sequences."""
