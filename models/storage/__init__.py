"""Model folders, and networks of other people."""
