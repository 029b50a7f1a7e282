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
# # Sensitivity: is stable sampling good sampling?
#
# How much is a small push of the state amplified along a trajectory ($L_{eff}$, the largest norm of the velocity's
# Jacobian)? And how much would twice as many steps change the image ($\Delta_{refine}$)? The paper finds the most
# stable routing to make the worst images. This notebook measures both on Gaussians, where every norm has a closed form.

# %%
import torch

from mnist_ddm import load_system
from mnist_ddm.core.spectral import jacobian_spectral_norm
from mnist_ddm.notebook import ask, show

pool = load_system("gaussian")

# %% [markdown]
# ## 1. A norm without the matrix
#
# The Jacobian of one expert is $c_k(t)\, I$, so its norm is $|c_k(t)|$. `jacobian_spectral_norm` finds it from products
# $J v$ and $J^T u$ alone.
#
# **Predict:** which has the larger norm near t = 0.5: one expert, or the marginal velocity that joins all of them?

# %%
x = torch.randn(3, *pool.state_shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
t = torch.tensor([0.2, 0.5, 0.8], dtype=torch.float64)
condition = pool.condition(torch.arange(3))
found = jacobian_spectral_norm(lambda z: pool.velocity(2, z, t, condition), x)
for time, norm, exact in zip(t.tolist(), found.norm.tolist(), pool.jacobian_scale(t)[:, 2].abs().tolist(), strict=True):
    print(f"t = {time}: found {norm:.6f}, exact {exact:.6f}")

marginal = jacobian_spectral_norm(lambda z: pool.monolith_velocity(z, t, condition), x)
print("marginal velocity:", marginal.norm.tolist())
print("exact:            ", torch.linalg.matrix_norm(pool.marginal_jacobian(x, t), 2).tolist())

# %% [markdown]
# ## 2. The expert term and the router term (Table 6)
#
# The Jacobian of a routed field is a sum: experts' Jacobians with the weights held fixed, and the change of the weights with
# the experts held fixed. The second one is large where the cluster is decided.
#
# **Predict:** under which routing is the router's term 0 wherever it exists: `top1`, `top2` or `full`?

# %%
answers = ask(pool, "jacobian-decomposition", n=16, steps=10)
show(answers, "jacobian-decomposition", "jacobian-expert-term", columns=("routing", "expert", "router", "whole"))

# %% [markdown]
# ## 3. Does stability predict quality? (Table 3)
#
# **Predict:** which routing changes most with twice as many steps: `top1`, `top2` or `full`?
#
# Compare the order of the routings by `Delta_refine` with what the notebook `quality` found for the same system: Top-1, whose
# field jumps, is the least stable one and the worst of those that use the router. The others differ by less than their
# intervals with 24 samples, so their order says nothing yet.

# %%
columns = ("routing", "l_eff_expert", "l_eff_whole", "delta_refine", "paper_l_eff", "paper_delta_refine")
show(ask(pool, "routing-comparison", n=24, steps=10), "routing-comparison", columns=columns)

# %% [markdown]
# ## 4. The order of Heun, and what switching does to it (Proposition E.1)
#
# Heun has order 2 on a smooth field. A Top-k field jumps where another expert takes over, and trajectories that cross a
# jump lose the order.
#
# **Predict:** what order does Top-1 come to: about 2, about 1, or about a half?

# %%
answers = ask(pool, "convergence", n=12, steps=10)
show(answers, "convergence", columns=("routing", "switch", "n", "steps", "mean_error", "order"))

# %% [markdown]
# ## Your turn
#
# Exercises `heun`, `order`, `power`, `refinement` and `dissociation` build all of this.
