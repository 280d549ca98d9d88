"""Read and write model folders, and convert networks of other projects."""
