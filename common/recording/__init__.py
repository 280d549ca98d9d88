"""Sequences, data sets and recordings of the bus on disk, and the session that captures them."""
