"""Data sets of other tools and of this one, one format a file."""
