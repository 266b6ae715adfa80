"""Choosing a schedule for a budget: of what a network can do, the most accurate or the fastest."""
