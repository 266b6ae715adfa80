"""Cost: multiply-accumulates and images/s."""
