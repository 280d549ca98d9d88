"""From a frame to the normalised feature window."""
