"""The second stage: latents and embeddings of all images, and their clusters."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mnist_ddm.compute.parallel import OnProgress
from mnist_ddm.errors import InputError
from mnist_ddm.storage.files import read_tensors, write_tensors
from paris_ddm.clusters import fit_text, summarise, two_stage_kmeans, write_clusters
from paris_ddm.config import Details
from paris_ddm.folder import (
    CLUSTERS,
    IMAGE_ENCODER,
    REAL,
)
from paris_ddm.images import ImageCodec, ImageEncoder
from paris_ddm.mini import parts
from paris_ddm.mini.data import (
    ATTRIBUTES,
    COLOURS,
    DIGITS,
    ColouredDigits,
    caption_table,
)
from paris_ddm.mini.objectives import (
    LatentData,
)
from paris_ddm.mini.plan import MiniPlan
from paris_ddm.real import RealStates, write_real
from paris_ddm.text import TextEncoder

REAL_STATES = {"training": 2000, "held-out": 2000}
"""Real latents that ship with the model."""
_ASSIGNMENT, _TEXTS = "assignment.safetensors", "texts.safetensors"
_CHUNK = 5000


def chunks(plan: MiniPlan) -> list[tuple[str, range]]:
    """The parts in which images are encoded: split and rows."""
    sizes = {"training": len(plan.training), "held-out": min(len(plan.held_out), REAL_STATES["held-out"])}
    return [(s, range(i, min(i + _CHUNK, n))) for s, n in sizes.items() for i in range(0, n, _CHUNK)]


def chunk_file(plan: MiniPlan, split: str, rows: range) -> Path:
    """Where the encoded images of a part are kept."""
    return plan.work / "encoded" / f"{split}-{rows.start:06d}.safetensors"


def encode(plan: MiniPlan, split: str, rows: range, report: OnProgress) -> None:
    """Latents and embeddings of some images."""
    data = plan.training if split == "training" else plan.held_out
    device = torch.device(plan.device)
    codec, encoder = ImageCodec(plan.folder, device), ImageEncoder(plan.out / IMAGE_ENCODER, device)
    latents, features = [], []
    for batch in torch.tensor(list(rows)).split(256):
        images = data.images(batch).to(device)
        latents.append(codec.encode(images).cpu())
        features.append(encoder.embed(images).cpu())
        report((int(batch[-1]) - rows.start + 1) / len(rows))
    tensors = {"latents": torch.cat(latents), "features": torch.cat(features)}
    write_tensors(chunk_file(plan, split, rows), tensors)


def _tensor(path: Path, name: str) -> Tensor:
    """One tensor of a file that an earlier step of the training wrote."""
    tensors, _ = read_tensors(path, finite=True)
    if name not in tensors:
        raise InputError(f"{path} has no {name!r}; delete it, and the same command makes it again")
    return tensors[name]


def _encoded(plan: MiniPlan, split: str, name: str) -> Tensor:
    pieces = [_tensor(chunk_file(plan, s, rows), name) for s, rows in chunks(plan) if s == split]
    return torch.cat(pieces)


def make_clusters(plan: MiniPlan, say: Callable[[str], None]) -> None:
    """Cluster the training images as the plan says, and keep real states of each split."""
    features, k = _encoded(plan, "training", "features"), plan.experts
    made: dict[str, Any] = {"images": len(features), "seed": plan.seed}
    if plan.clusters == "embedding":
        fine = parts.preset_named(plan.preset)["clusters"]["fine"]
        assignment = two_stage_kmeans(features, k, fine, plan.seed)
        made |= {"first stage": fine, "second stage": k}
    else:
        assignment = _values(plan, plan.training)
        made |= {"attribute": plan.clusters}
    write_tensors(plan.work / _ASSIGNMENT, {"assignment": assignment})
    texts = TextEncoder(plan.folder, torch.device("cpu"), Details())
    # Both of a caption at once, as fewer captions are kept than there are.
    every = [(texts.pooled(caption), texts.embedding(caption)) for caption in caption_table()]
    pooled = torch.stack([of_caption for of_caption, _ in every])
    embedded = torch.stack([*(tokens for _, tokens in every), texts.null()])
    write_tensors(plan.work / _TEXTS, {"texts": embedded})
    clusters = summarise(features, assignment, k, made)
    weight, bias = fit_text(pooled[plan.training.caption_rows], assignment, k)
    clusters = replace(clusters, text_weight=weight, text_bias=bias)
    write_clusters(plan.out / CLUSTERS, clusters)
    for line in what_clusters_hold(plan.training, assignment):
        say(line)
    held_out = _encoded(plan, "held-out", "features")
    nearest = clusters.nearest(held_out) if plan.clusters == "embedding" else _values(plan, plan.held_out)
    assignments = {"training": assignment, "held-out": nearest[: len(held_out)]}
    splits = {}
    for split, data in (("training", plan.training), ("held-out", plan.held_out)):
        rows = torch.arange(min(REAL_STATES[split], len(assignments[split])))
        latents = _encoded(plan, split, "latents")[rows]
        splits[split] = RealStates(latents, assignments[split][rows], data.captions(rows))
    write_real(plan.out / REAL, splits)


def _values(plan: MiniPlan, data: ColouredDigits) -> Tensor:
    """The value of the attribute that the clusters are, of each image."""
    return data.attributes[:, ATTRIBUTES.index(plan.clusters)]


def what_clusters_hold(data: ColouredDigits, assignment: Tensor) -> list[str]:
    """A line for each cluster: its size, and the most frequent values of each attribute with their shares."""
    lines = []
    for k in range(int(assignment.max()) + 1):
        inside = assignment == k
        told = []
        for column, (name, labels) in enumerate(zip(ATTRIBUTES, (DIGITS, tuple(COLOURS), tuple(COLOURS)), strict=True)):
            shares = data.attributes[inside, column].bincount(minlength=len(labels)) / max(1, int(inside.sum()))
            first = shares.argsort(descending=True)[:3].tolist()
            told.append(f"{name} " + ", ".join(f"{labels[i]} {shares[i]:.0%}" for i in first if shares[i] >= 0.01))
        lines.append(f"cluster {k}: {int(inside.sum())} images; {'; '.join(told)}")
    return lines


def latents(plan: MiniPlan, cluster: int | None) -> LatentData:
    """The training data of one cluster, or of all."""
    assignment = assignment_of(plan)
    rows = torch.arange(len(assignment)) if cluster is None else (assignment == cluster).nonzero()[:, 0]
    return LatentData(
        _encoded(plan, "training", "latents")[rows],
        plan.training.caption_rows[rows],
        assignment[rows],
        _tensor(plan.work / _TEXTS, "texts"),
    )


def assignment_of(plan: MiniPlan) -> Tensor:
    """The cluster of each training image."""
    return _tensor(plan.work / _ASSIGNMENT, "assignment")
