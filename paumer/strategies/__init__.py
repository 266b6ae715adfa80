"""Ways to run a trained network: pausing, exits, merging, smaller inputs. One contract, one small file each."""
