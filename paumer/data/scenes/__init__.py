"""Street scenes drawn by rule, with label maps, in the layout of Cityscapes on disk."""
