"""The mathematics of decentralized diffusion, written with torch.

Nothing in here knows a data set, a network or a command line: `flow` fixes the conventions, `pool` says what a
system must offer, `routing` turns router logits into weights, `field` joins the two into one velocity field,
`solvers` integrate it, and `recording` keeps what an analysis asked for.
"""
