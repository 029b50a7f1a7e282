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
# # Regimes: when does averaging over all experts fail?
#
# In theory the full ensemble cannot be worst: with exact experts and an exact router it *is* the velocity of all the data.
# In the paper it is worst. So one of the two must be wrong there. On the Gaussian system both can be made wrong by a
# known amount, and the map below shows what that does.

# %%
from mnist_ddm import load_system
from mnist_ddm.notebook import ask, show, table_named

pool = load_system("gaussian")

# %% [markdown]
# ## 1. Two knobs
#
# Rows: how far an expert errs away from its own cluster. Columns: the temperature of the router; 1 is Bayes' rule, above 1
# it is too flat. Each cell is the Frechet distance of the full ensemble relative to the better of Top-1 and Top-2: below 1
# the ensemble wins. Few samples and three columns here; `docs/results/gaussian-map` has the whole map with 500.
#
# **Predict:** which of the two knobs makes the ensemble lose: the experts' error, the temperature, or only both together?

# %%
answers = ask(pool, "regime-map", n=60, steps=8, temperatures=(1.0, 4.0, 16.0))
show(answers)

# %% [markdown]
# ## 2. The order of the paper
#
# In which cells is the order of the three routings that of Paris, Top-2 before Top-1 before Full?
#
# **Predict:** at T = 1, at T = 16, or at none?

# %%
for row in table_named(answers, "regime-map").rows:
    if row["paris_order"] == "yes":
        print(f"T = {row['t_router']}, experts {row['experts']}: {row['order']}")

# %% [markdown]
# ## 3. What quality costs
#
# The same question with a price: `mnist-ddm analyze --system gaussian --analysis cost-and-quality` draws quality against
# the number of expert evaluations for all routings.
#
# ## Your turn
#
# Exercise `contest` is set in one of these regimes: a router that is four times too flat, and experts that err.
