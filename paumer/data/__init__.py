"""Datasets, their class lists, and the way from files to batches."""
