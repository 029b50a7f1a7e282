# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Interventions: what happens if one turns a knob?
#
# Correlation is cheap. An intervention changes one thing and looks at what follows: the router's temperature, the share of
# probability that is used, the experts that are allowed, the inputs.

# %%
from mnist_ddm import Sampling, load_system, parse_routing, sample
from mnist_ddm.notebook import ask, show

pool = load_system("gaussian")

# %% [markdown]
# ## 1. One grammar for all routings
#
# A routing is spelled the same way everywhere: on the command line, in files and here. Modifiers follow each other.
#
# **Predict:** which asks fewer experts for each sample, `full@T=0.5` or `full@T=4`?

# %%
for spelling in ("full", "full@T=0.5", "full@T=4", "top-p=0.9", "full+clip", "top2+equal", "misaligned2"):
    drawn = sample(pool, Sampling(spelling, n=16, steps=10))
    mean = float(drawn.evaluations.double().mean())
    print(f"{parse_routing(spelling).name:12} {mean:6.1f} expert evaluations for each sample")

# %% [markdown]
# ## 2. Temperature and top-p (Tables 7, 9 and 10)
#
# A high temperature makes the router's weights flatter, a low one sharper; entropy rises with T by construction. Does
# anything else?
#
# **Predict:** as T rises, does the change by twice as many steps rise, fall, or neither?

# %%
show(ask(pool, "rescue", n=12, steps=8), columns=("variant", "t_router", "p", "entropy", "l_eff", "delta_refine"))

# %% [markdown]
# ## 3. Clipping and misalignment (Table 8)
#
# The full ensemble without the experts of the largest Jacobian norm, and Top-2 with a random pair. The random pair is drawn
# for each sample and step of the grid, so that both runs of $\Delta_{refine}$ see the same pair.
#
# **Predict:** what is worse for Delta_refine: to clip the most sensitive experts, or to take a random pair?

# %%
show(ask(pool, "counterfactual", n=8, steps=8))

# %% [markdown]
# ## 4. Shifted inputs and fewer steps (Tables 11 and 14)
#
# Start states that are 20% too small or too large: inputs for which no model was trained.
#
# **Predict:** which is worse: too small, too large, or both alike?

# %%
show(ask(pool, "generalization", n=8, steps=8))
