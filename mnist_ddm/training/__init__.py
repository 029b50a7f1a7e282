"""Training: isolated experts, the router, the monolith and the classifier.

Everything random is a pure function of *(seed, part, step)*, so a run that was killed and goes on equals a run that
was never stopped, bit for bit on one machine.
"""
