"""Figures from measured files."""
