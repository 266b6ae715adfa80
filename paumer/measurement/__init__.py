"""Cost: multiply-accumulates, images/s, and the best operating point for a budget."""
