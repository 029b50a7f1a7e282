"""Measures of images: perceptual distances, Frechet distances, fidelity."""
