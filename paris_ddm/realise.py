"""From a folder of pictures to what measurements need: clusters, and real states with captions."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from mnist_ddm.core.noise import Purpose, generator
from mnist_ddm.errors import InputError
from mnist_ddm.storage.door import read_text
from paris_ddm.clusters import Clusters, fit_text, read_clusters, summarise, two_stage_kmeans, write_clusters
from paris_ddm.folder import CLUSTERS, REAL
from paris_ddm.images import image_files, read_image
from paris_ddm.pool import ParisPool
from paris_ddm.real import SPLITS, RealStates, write_real

_BATCH = 32


def cluster_images(
    pool: ParisPool,
    images: Path,
    out: Path,
    fine: int,
    held_out: float,
    seed: int,
    known: Path | None,
    report: Callable[[float], None],
) -> list[str]:
    """Embed and encode the pictures of a folder, cluster them, and write `clusters.safetensors` and `real.safetensors`.

    Args:
        pool: the model whose VAE, image encoder and text encoder are used.
        images: a folder of pictures; the text file of the same name beside one is its caption.
        out: where to write.
        fine: clusters of the first stage.
        held_out: share of the pictures in the split `held-out`.
        seed: of clusters and split.
        known: a file of clusters to use instead of making one.
        report: called with the fraction that is done.

    Returns:
        A line for each cluster, and one if captions were cut.

    Raises:
        InputError: if there are too few pictures, or one cannot be read.
    """
    if not 0 < held_out < 1:
        raise InputError(f"--held-out must be between 0 and 1, not {held_out}")
    k, files = pool.n_experts, image_files(images)
    captions = tuple(_caption(file) for file in files)
    latents, features = [], []
    for start in range(0, len(files), _BATCH):
        batch = torch.stack([read_image(file, pool.image_side) for file in files[start : start + _BATCH]])
        latents.append(pool.encode(batch).cpu())
        features.append(pool.measures.embed(batch).cpu())
        report(min(1.0, (start + _BATCH) / len(files)))
    embedded = torch.cat(features)
    if known is None:
        clusters, assignment = _make(pool, embedded, captions, fine, seed, str(images))
    else:
        clusters = read_clusters(known, k)
        assignment = clusters.nearest(embedded)
    write_clusters(out / CLUSTERS, clusters)
    order = torch.from_numpy(generator(seed, Purpose.SHUFFLE).permutation(len(files)))
    cut = max(1, round(held_out * len(files)))
    rows = dict(zip(SPLITS, (order[cut:], order[:cut]), strict=True))
    states = torch.cat(latents)
    write_real(
        out / REAL,
        {
            name: RealStates(states[which], assignment[which], tuple(captions[int(i)] for i in which))
            for name, which in rows.items()
        },
    )
    counts = assignment.bincount(minlength=k).tolist()
    lines = [f"cluster {i}: {count} pictures, {count / len(files):.1%}" for i, count in enumerate(counts)]
    if cut_texts := pool.cut_texts(captions):
        lines.append(
            f"{len(cut_texts)} captions are longer than the {pool.caption_length} tokens that the model reads, and are cut"
        )
    return lines


def _make(
    pool: ParisPool, embedded: Tensor, captions: tuple[str, ...], fine: int, seed: int, images: str
) -> tuple[Clusters, Tensor]:
    k = pool.n_experts
    assignment = two_stage_kmeans(embedded, k, fine, seed)
    made = {"images": len(embedded), "folder": images, "first stage": fine, "second stage": k, "seed": seed}
    clusters = summarise(embedded, assignment, k, made)
    if any(captions):
        weight, bias = fit_text(pool.pooled_texts(captions), assignment, k)
        clusters = replace(clusters, text_weight=weight, text_bias=bias)
    return clusters, assignment


def _caption(picture: Path) -> str:
    beside = picture.with_suffix(".txt")
    return " ".join(read_text(beside).split()) if beside.exists() else ""
