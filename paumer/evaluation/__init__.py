"""Accuracy: confusion matrices, whole-image and sliding-window inference, the sweep, and bounds."""
