"""Figures of a model's own parts, for its card."""

import torch

from mnist_ddm.core.condition import Condition
from mnist_ddm.metrics.fidelity import router_accuracy
from paris_ddm.folder import CLASSIFIER
from paris_ddm.mini.data import ColouredDigits
from paris_ddm.pool import ParisPool


@torch.no_grad()
def own_figures(pool: ParisPool, images: ColouredDigits, n: int = 2000) -> dict[str, object]:
    """Reconstruction error of the VAE, accuracies of the classifier and the router.

    Args:
        pool: the model.
        images: the held-out images that it was not trained on.
        n: how many of them to use.
    """
    rows = torch.arange(min(n, len(images)))
    real = images.images(rows)
    again = torch.cat([pool.decode(pool.encode(batch)) for batch in real.split(250)])
    error = (again - real).square().mean()
    figures: dict[str, object] = {
        "reconstruction RMSE (pixels in [0, 1])": float(error.sqrt()),
        "reconstruction PSNR (dB)": float(-10 * error.log10()),
        "router accuracy by t": router_accuracy(pool, n),
    }
    asked = Condition(torch.zeros(len(rows), dtype=torch.int64), images.captions(rows))
    for name, judge in pool.measures.adherence.items():
        for what, shown in (("real", real), ("reconstructed", again)):
            right = torch.cat([judge(shown[i], asked.select(i)) for i in rows.split(250)])
            figures[f"{CLASSIFIER} accuracy on {what} images: {name}"] = float(right.nanmean())
    return figures
