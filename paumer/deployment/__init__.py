"""A trained network on images of one's own, and as a folder that others load."""
