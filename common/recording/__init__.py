"""Read and write sequences, data sets and bus recordings, and run the session that captures them."""
