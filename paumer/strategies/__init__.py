"""Ways to run a trained network: dense, pausing, early exit. One contract, one small file each."""
