"""Plots: what they show, one palette, and one renderer."""
