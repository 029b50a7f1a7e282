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
# # Quality: whose images are good?
#
# A Frechet distance is one number for two questions: is each image good, and are all kinds of images there in the right
# shares? A routing can be best at one and worst at the other. So the table here has both apart.

# %%
from mnist_ddm import Sampling, load_system, sample
from mnist_ddm.notebook import ask, show

gaussian = load_system("gaussian")

# %% [markdown]
# ## 1. Where the truth is known
#
# Eight Gaussians. The experts and the router are exact, so the full ensemble is the best that can be done, and choosing one
# expert by the prior (`label`, `once`) samples the mixture exactly. 300 samples of each routing; differences of a few
# hundredths are noise of the samples.
#
# **Predict:** which one has the largest distance: `top1`, `uniform`, `misaligned2` or `full`?

# %%
ROUTINGS = ("label", "once", "top1", "top2", "full", "uniform", "misaligned2", "monolith")
answers = ask(gaussian, "quality", n=300, steps=10, routings=ROUTINGS)
show(answers, "quality", columns=("routing", "n", "fid", "precision", "coverage"))

# %% [markdown]
# ## 2. Frechet distances of few samples
#
# A Frechet distance is biased upwards for few samples, so distances of different `n` must never be compared. The same
# routing with 50, 100 and 300 samples:
#
# **Predict:** as n grows, does the distance rise, fall, or stay?

# %%
from mnist_ddm.metrics.frechet import extract, frechet_distance

(features,) = gaussian.measures.frechet_features.values()
real = extract(features, gaussian.measures.real_states(10_000)[0])
final = sample(gaussian, Sampling("full", n=300, steps=10)).final
for n in (50, 100, 300):
    print(f"n = {n:3}: {frechet_distance(real, extract(features, final[:n])):.3f}")

# %% [markdown]
# ## 3. Digits
#
# Few samples say little about a distance, but a classifier can already say which digits come out. `top1` starves whole
# classes, because its first choice, made in pure noise, follows the prior. 32 samples are enough to suspect it, 5000
# (`docs/results/quality`) to know it.
#
# **Predict:** of which digit does `top1` make the most?

# %%
digits = load_system("mnist")
for routing in ("top1", "full"):
    images = digits.decode(sample(digits, Sampling(routing, n=32, steps=6)).final)
    probabilities = digits.measures.classifier(images)
    counts = probabilities.argmax(dim=1).bincount(minlength=10)
    clear = float((probabilities.amax(dim=1) > 0.9).double().mean())
    print(f"{routing:5} zeros to nines: {counts.tolist()}, {clear:.0%} of the images are clear")

# %% [markdown]
# ## Your turn
#
# Exercise `contest`: design a routing that beats Top-2 at its own cost. `mnist-ddm exercises start contest`.
