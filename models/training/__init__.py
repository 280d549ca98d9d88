"""From training data to a fitted, calibrated model."""
