"""Analyses: one scientific question each, answered by a pure function of what was recorded."""
