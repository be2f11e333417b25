"""How good the results are: errors reached, not time."""
