"""Make, read, check, correct and convert data sets."""
