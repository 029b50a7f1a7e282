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
# # Alignment: are the right experts asked?
#
# The paper's thesis is that quality depends on *expert-data alignment*: a state should go to experts whose training data
# look like it. Four ways to measure that, each with its trap. The numbers here come from few samples; the full ones
# are in `docs/results`.

# %%
from mnist_ddm import load_system
from mnist_ddm.notebook import ask, show, table_named

digits = load_system("mnist")
gaussian = load_system("gaussian")

# %% [markdown]
# ## 1. How near are the selected experts' data? (Table 1)
#
# Rank all clusters by the distance of their centroid to the state, 1 for the nearest, and look up the ranks of the selected
# experts. For the full ensemble this is the mean over *all* clusters, 5.5 of ten, by construction: read that row as a
# reminder, not as a finding.
#
# **Predict:** is the mean rank of Top-1's expert near 1, near 3, or near 5.5?

# %%
columns = ("embedding", "state", "routing", "mean_rank", "among_two")
show(ask(digits, "cluster-distance", n=8, steps=6), "cluster-distance", columns=columns)

# %% [markdown]
# ## 2. Do selected experts agree with the velocity that is followed? (Tables 2 and 4)
#
# The angle of each expert's velocity to the routed one. A selected expert is part of the routed velocity. So the second
# table repeats the comparison with references that do not contain the expert: the blend of the others, and the closed-form
# velocity of the training data.
#
# **Predict:** with the expert itself left out of the reference, do the selected ones stay the nearer ones: yes, no, or only for one
# of the two references?

# %%
answers = ask(digits, "expert-deviation", n=8, steps=6)
show(answers, "expert-deviation", columns=("quantity", "measured", "paper"))
show(answers, "expert-deviation-references", columns=("reference", "unit", "selected", "non_selected"))

# %% [markdown]
# On the Gaussian system the reference is the truth, and an expert away from its own cluster is wrong by a known amount.

# %%
answers = ask(gaussian, "expert-deviation", n=48, steps=12)
show(answers, "expert-deviation-references", columns=("reference", "unit", "selected", "non_selected"))

# %% [markdown]
# ## 3. Do images suffer where experts disagree? (Figure 1)
#
# Integrated disagreement of each trajectory against the distance between the images of the full ensemble and Top-2.
# That distance says how much the routings differ, not which of them is better.
#
# **Predict:** does the distance grow with the disagreement, fall, or neither?

# %%
show(ask(gaussian, "disagreement", n=48, steps=12), "disagreement", "disagreement-quartiles")

# %% [markdown]
# ## 4. Is the router right about how sure it is?
#
# If it is calibrated and the experts are good, theory says that the full ensemble is the velocity of all the data. On the
# Gaussian system the router is Bayes' rule itself, and its calibration error is only sampling noise.
#
# **Predict:** how large is the largest error with 200 states: 0.001, about 0.05, or 0.3?

# %%
answers = ask(gaussian, "router-calibration", n=200)
show(answers)
worst = max(row["ece"].value for row in table_named(answers, "router-calibration").rows)
print(f"the largest calibration error at any time is {worst:.3f}, with 200 states")

# %% [markdown]
# ## Your turn
#
# Exercises `bayes`, `angle` and `disagreement` build these measures from nothing: `mnist-ddm exercises start bayes`.
