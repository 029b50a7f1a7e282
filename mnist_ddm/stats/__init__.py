"""Intervals, tests, corrections."""
