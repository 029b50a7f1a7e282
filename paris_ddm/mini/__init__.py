"""Training of a small Paris from scratch: the same files as the release, on a text-to-image task made from MNIST."""
