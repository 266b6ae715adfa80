"""The typed description of an experiment: the one source of its keys, defaults, checks and documentation.

Imports no torch: the workflow plans with it.
"""
