"""Networks of the MNIST system, their presets, and the files that they are kept in."""
