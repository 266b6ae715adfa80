"""Expected duration of a run, and the progress of its jobs on the terminal."""
