"""What makes, reads and converts data sets; the sets themselves lie here too, ignored by git."""
