"""Parallel jobs, batches, devices."""
