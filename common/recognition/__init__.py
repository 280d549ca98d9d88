"""Turn windows into probabilities, and probabilities into actions."""
