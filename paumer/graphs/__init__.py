"""A network at one operating point as one graph, which other runtimes read."""
