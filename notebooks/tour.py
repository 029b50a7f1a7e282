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
# # A tour in 15 minutes
#
# Ten small networks were trained on one digit each, and none of them ever met another. Here they draw together.
# What joins them is a *router*, which looks at a noisy image and says which expert should go on with it.
#
# Time `t` runs from 1 (noise) down to 0 (image), always.
#
# Before each picture there is something to **predict**: choose an answer, then run the cell.

# %%
import matplotlib.pyplot as plt
import torch

from mnist_ddm import Sampling, load_system, sample
from mnist_ddm.core.flow import interpolate, predicted_clean, velocity_target
from mnist_ddm.notebook import ask, show

pool = load_system("mnist")
print(
    f"{pool.n_experts} experts for states of shape {pool.state_shape}; prior {[round(p, 3) for p in pool.prior.tolist()]}"
)

# %% [markdown]
# ## 1. The path, and what a model learns
#
# A state is a mixture of image and noise, $x_t = (1 - t)\, x_0 + t\, \varepsilon$. A model learns the direction in which
# it moves, the velocity $v = \varepsilon - x_0$. From a velocity follows the clean image that it implies,
# $\hat x_0 = x_t - t\, v$.
#
# **Predict:** at which of the five times will you no longer see which digit it is: 0.25, 0.50, 0.75 or only 1.00?

# %%
clean, digit = pool.measures.real_states(1)
noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
times = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0])
states = interpolate(clean.expand(5, -1, -1, -1), noise.expand(5, -1, -1, -1), times)

figure, axes = plt.subplots(1, 5, figsize=(9, 2))
for axis, image, t in zip(axes, pool.decode(states), times, strict=True):
    axis.imshow(image[0], cmap="gray")
    axis.set_title(f"t = {t:.2f}")
    axis.set_axis_off()

recovered = predicted_clean(states, velocity_target(clean, noise).expand(5, -1, -1, -1), times)
print(
    "x_t - t v is the image again at every t:", bool(torch.allclose(recovered, clean.expand_as(recovered), atol=1e-5))
)

# %% [markdown]
# ## 2. What the router sees
#
# At `t = 1` there is only noise, and the best that a router can say is how frequent each digit is. On the way down it
# becomes sure. The digit below is real, and it is noised to five times.
#
# **Predict:** at which t is it more than half sure for the first time: 1.00, 0.75, 0.50 or 0.25?

# %%
probabilities = pool.router_logits(states, times).softmax(dim=1).detach()
print(f"the digit is a {int(digit)}")
for t, p in zip(times.tolist(), probabilities, strict=True):
    print(f"t = {t:.2f}: most probable {int(p.argmax())} with {float(p.max()):.2f}")

# %% [markdown]
# ## 3. Routings: who is asked?
#
# `top1` asks the most probable expert, `top2` the two most probable ones, `full` all of them, weighted by their
# probabilities. The same noise, four routings, of which `uniform` gives all experts the same weight:
#
# **Predict:** which row has the worst images: `top1`, `top2`, `full` or `uniform`?

# %%
figure, axes = plt.subplots(4, 6, figsize=(7, 4.8))
for row, routing in zip(axes, ("top1", "top2", "full", "uniform"), strict=True):
    drawn = sample(pool, Sampling(routing, n=6, seed=3, steps=8))
    evaluations = float(drawn.evaluations.double().mean())
    print(f"{routing:8} {evaluations:5.0f} expert evaluations for each image")
    for axis, image in zip(row, pool.decode(drawn.final), strict=True):
        axis.imshow(image[0], cmap="gray")
        axis.set_axis_off()
    row[0].set_title(routing, loc="left")

# %% [markdown]
# `uniform` ignores the router. That is the one thing one must not do with experts that were trained on different data.
#
# ## 4. A trajectory: when is the digit decided?
#
# **Predict:** when does one expert take over: in the first steps from noise, half-way, or in the last ones?

# %%
recording = sample(pool, Sampling("full", n=6, seed=5, steps=10), observables=("weights",))
leaders = recording.observed["weights"].argmax(dim=2)
changes = (leaders.diff(dim=1) != 0).sum(dim=1)
most = int(changes.argmax())
print(f"the leading expert changes {changes.tolist()} times in the six samples")

figure, axis = plt.subplots(figsize=(7, 3))
axis.stackplot(recording.times, recording.observed["weights"][most].T, labels=[str(k) for k in range(10)])
axis.invert_xaxis()
axis.set_xlabel("t (1 = noise, 0 = image)")
axis.set_ylabel("weights of the ten experts")
axis.legend(ncols=10, loc="upper center", bbox_to_anchor=(0.5, 1.15), frameon=False)
# %% [markdown]
# ## 5. A question of the paper, asked in seconds
#
# Do the experts that the router selects agree better with the velocity that is followed? That is Table 4 of the paper.
# Here with few samples; `mnist-ddm analyze --system mnist` takes the paper's number.
#
# **Predict:** whose angle to the routed velocity is smaller, the selected experts' or the others', and by a tenth or by half?

# %%
show(ask(pool, "expert-deviation", n=8, steps=6), "expert-deviation", columns=("quantity", "measured", "paper"))

# %% [markdown]
# A selected expert is *part* of what it is compared with, so its angle is small whatever it was trained on. The package
# therefore also measures against references that do not contain the expert; the notebook `alignment.py` goes on there.
#
# ## 6. The same question where the answer is known
#
# The `gaussian` system consists of eight Gaussians, whose experts and router are formulas. The full ensemble then *is* the
# velocity of the whole mixture, and one can check that to the last digits:

# %%
exact = load_system("gaussian")
x, t = torch.randn(4, *exact.state_shape, generator=torch.Generator().manual_seed(1)), torch.full((4,), 0.4)
condition = exact.condition(torch.arange(4))
weights = exact.router_logits(x, t).softmax(dim=1)
ensemble = sum(weights[:, k, None, None, None] * exact.velocity(k, x, t, condition) for k in range(exact.n_experts))
print(
    "largest difference to the marginal velocity:",
    float((ensemble - exact.monolith_velocity(x, t, condition)).abs().max()),
)

# %% [markdown]
# ## Where to go from here
#
# - Write these parts yourself: `mnist-ddm exercises start`.
# - One notebook for each group of questions: `alignment`, `quality`, `sensitivity`, `interventions`, `regimes`.
# - What the shipped system shows with enough samples: `docs/results/README.md`.
