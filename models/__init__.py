"""Train, evaluate, adapt, tune, compare, import and export models: one command a file."""
