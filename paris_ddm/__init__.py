"""The Paris model behind the pool interface: eight latent diffusion transformers and a router, trained in isolation.

The format follows what is publicly known of the release; what is not known is an option (`paris_ddm.config.Details`).
"""
