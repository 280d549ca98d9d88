"""From windows to probabilities to actions."""
