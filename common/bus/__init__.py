"""Which messages there are, and how any process sends and receives them."""
