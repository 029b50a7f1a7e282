"""Neighbours: the package's fields, checkpoints and runs as other libraries know them; each needs its library."""
