"""Read and write data sets of this project and of other tools, one format per file."""
