r"""A router of captions for a model that has none, or a better one: :math:`p(k \mid c)` from captions with clusters.

It is the linear head that `paris cluster` fits where pictures have captions; here captions are enough, of which a
training set has many more than anybody embeds pictures.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from mnist_ddm.errors import InputError
from mnist_ddm.storage.door import LARGE, parse_json, read_text
from paris_ddm.clusters import fit_text, write_clusters
from paris_ddm.folder import CLUSTERS
from paris_ddm.pool import ParisPool

HELD_OUT = 10
"""Each so many-th caption is kept out of the fit, and tells how good it is."""
_AT_ONCE = 64


def read_clustered_captions(path: Path, n_experts: int) -> tuple[tuple[str, ...], Tensor]:
    """Captions and their clusters, from JSON lines with a ``text`` and a ``cluster``, 0 for the first expert.

    Returns:
        The captions, and their clusters, int64, shape ``(N,)``.

    Raises:
        InputError: if the file is no such file, or a cluster is none of the model's.
    """
    captions, clusters = [], []
    for number, line in enumerate(re.split(r"\r\n|\r|\n", read_text(path, LARGE)), start=1):
        if not line.strip():
            continue
        value = parse_json(line, f"line {number} of {path}")
        text, cluster = (value.get("text"), value.get("cluster")) if isinstance(value, dict) else (None, None)
        if not isinstance(text, str) or not text.strip() or type(cluster) is not int:
            raise InputError(f'line {number} of {path} is no {{"text": "a caption", "cluster": 0}}')
        if not 0 <= cluster < n_experts:
            raise InputError(f"line {number} of {path} has cluster {cluster}; the model has 0 to {n_experts - 1}")
        captions.append(" ".join(text.split()))
        clusters.append(cluster)
    return tuple(captions), torch.tensor(clusters, dtype=torch.int64)


def fit_caption_router(pool: ParisPool, path: Path, out: Path, report: Callable[[float], None]) -> list[str]:
    """Fit the head to the captions of a file, and put it into the clusters that the model has.

    Args:
        pool: the model, whose text encoder is used.
        path: see `read_clustered_captions`.
        out: the folder to write `clusters.safetensors` to.
        report: called with the fraction that is done.

    Returns:
        Lines that say how good the head is on captions that it was not fitted to.

    Raises:
        InputError: if the model has no clusters, or a cluster has too few captions.
    """
    clusters, k = pool.measures.clusters, pool.n_experts
    if clusters is None:
        raise InputError(f"{pool.settings.path} has no {CLUSTERS}; make it with `mnist-ddm paris cluster`")
    captions, assignment = read_clustered_captions(path, k)
    held_out = torch.arange(len(captions)) % HELD_OUT == HELD_OUT - 1
    counts = assignment[~held_out].bincount(minlength=k)
    if len(captions) < HELD_OUT or int(counts.min()) == 0:
        raise InputError(
            f"{path} has {int(counts.min())} captions of cluster {int(counts.argmin())}; give more of each"
        )
    pooled = _pooled(pool, captions, report)
    weight, bias = fit_text(pooled[~held_out], assignment[~held_out], k)
    made = {**clusters.made, "captions": len(captions), "file of captions": path.name}
    fitted = replace(clusters, text_weight=weight, text_bias=bias, made=made)
    write_clusters(out / CLUSTERS, fitted)
    said, right = fitted.of_caption(pooled[held_out]), assignment[held_out]
    loss = -float(said.gather(1, right[:, None]).clamp(min=1e-300).log().mean())
    shares = counts.double() / counts.sum()
    blind = -float(shares.clamp(min=1e-300).log()[right].mean())
    return [
        f"fitted to {int((~held_out).sum())} captions; of {int(held_out.sum())} others the most probable cluster is "
        f"right in {float((said.argmax(dim=1) == right).double().mean()):.1%}",
        f"log loss {loss:.3f} nats, {blind:.3f} without looking at the caption",
    ]


def _pooled(pool: ParisPool, captions: Sequence[str], report: Callable[[float], None]) -> Tensor:
    parts = []
    for start in range(0, len(captions), _AT_ONCE):
        parts.append(pool.pooled_texts(captions[start : start + _AT_ONCE]).cpu())
        report(min(1.0, (start + _AT_ONCE) / len(captions)))
    return torch.cat(parts)
