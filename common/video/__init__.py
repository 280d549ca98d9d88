"""Read frames from cameras and files, draw on them, and show or save them."""
