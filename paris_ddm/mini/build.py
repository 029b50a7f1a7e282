"""Training the small Paris, stage by stage: what a stage has finished is not done again.

1. the VAE, the image and text towers (one contrastive training) and the classifier of the metrics;
2. latents and embeddings of all images, and the clusters: two-stage k-means on the image embeddings;
3. eight experts, each on its own cluster alone, the router, and the monolith with all experts' budget together.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mnist_ddm.core.errors import InputError
from mnist_ddm.core.files import digest, read_json, read_tensors, write_json, write_tensors, write_text
from mnist_ddm.core.parallel import Report
from mnist_ddm.data import Images
from mnist_ddm.models.presets import Recipe
from mnist_ddm.training.batches import torch_generator
from mnist_ddm.training.loop import Fit, Fitted, loss_log
from mnist_ddm.training.objectives import Data, Objective
from mnist_ddm.versions import versions
from paris_ddm.attributes import AttributeClassifier, write_classifier
from paris_ddm.clusters import fit_text, summarise, two_stage_kmeans, write_clusters
from paris_ddm.config import Details, RootConfig
from paris_ddm.dit import ExpertDiT, RouterDiT
from paris_ddm.folder import (
    CAPTIONS,
    CARD,
    CLASSIFIER,
    CLUSTERS,
    CONFIG,
    EXPERT_WEIGHTS,
    HELD_OUT_CAPTIONS,
    IMAGE_ENCODER,
    MODEL_WEIGHTS,
    MONOLITH,
    REAL,
    ROUTER,
    ROUTER_WEIGHTS,
    TEXT_ENCODER,
    TOKENIZER,
    VAE,
    ParisFolder,
)
from paris_ddm.images import ImageCodec, ImageEncoder
from paris_ddm.mini import parts
from paris_ddm.mini.data import (
    COLOURS,
    DIGITS,
    SIDE,
    ColouredDigits,
    all_captions,
    caption_table,
    held_out_set,
    training_set,
)
from paris_ddm.mini.objectives import (
    AttributeObjective,
    AutoencoderObjective,
    CaptionedVelocityObjective,
    ClusterObjective,
    ContrastiveObjective,
    LatentData,
)
from paris_ddm.mini.tokenizer import write_tokenizer
from paris_ddm.real import RealStates, write_real
from paris_ddm.text import TextEncoder

EXPERTS = 8
REAL_STATES = {"training": 2000, "held-out": 2000}
"""Real latents that ship with the model."""
PLAN = "plan.json"
_ASSIGNMENT, _TEXTS = "assignment.safetensors", "texts.safetensors"
_CHUNK = 5000
_SCALED_BY = 2000
"""Images whose latents decide the scaling factor."""
_KEYS = ("autoencoder", "towers", "classifier", "expert", "router", "monolith")


@dataclass(frozen=True)
class MiniPlan:
    """What to train, and where.

    Attributes:
        images: MNIST, or a set like it with digits as labels.
        out: the folder of the model.
        preset: `mini` or `tiny`.
        seed: of everything random.
        command: for the card.
    """

    images: Images
    out: Path
    preset: str = "mini"
    seed: int = 0
    command: str = ""

    @property
    def work(self) -> Path:
        """What is needed until the model is finished."""
        return self.out / "work"

    @property
    def folder(self) -> ParisFolder:
        """The folder, whose parts come one by one."""
        return ParisFolder(self.out, RootConfig(EXPERTS, parts.LATENT_SIDE, parts.LATENT_CHANNELS))

    @cached_property
    def training(self) -> ColouredDigits:
        """The training images."""
        return training_set(self.images, self.seed)

    @cached_property
    def held_out(self) -> ColouredDigits:
        """The held-out images."""
        return held_out_set(self.images, self.seed)

    def recipe(self, part: str) -> Recipe:
        """How a part is trained; the monolith as long as all experts together."""
        if part == MONOLITH:
            one = parts.recipe(self.preset, "expert")
            return replace(one, steps=one.steps * EXPERTS)
        return parts.recipe(self.preset, part)

    def describe(self) -> dict[str, Any]:
        """What makes two plans the same."""
        return {
            "preset": self.preset,
            "sizes": parts.preset_named(self.preset),
            "seed": self.seed,
            "data": self.images.digest,
        }


Job = Callable[[Report], None]
Runner = Callable[[Sequence[str], Sequence[Job], Sequence[float]], None]
"""Runs named jobs of given relative costs, in parallel."""


def build(plan: MiniPlan, run: Runner, say: Callable[[str], None]) -> None:
    """Train everything that is not finished yet.

    Args:
        plan: what.
        run: how jobs are run.
        say: how progress is told.

    Raises:
        InputError: if the folder holds something else, or a training diverges.
    """
    _open(plan)
    if (plan.out / CARD).exists():
        say(f"{plan.out} is finished")
        return
    if not (plan.out / TOKENIZER).exists():
        length = parts.preset_named(plan.preset)["towers"]["text"]["max_position_embeddings"]
        with parts.whole_folder(plan.out / TOKENIZER) as folder:
            write_tokenizer(folder, caption_table(), length)
    frozen: dict[str, Job] = {}
    if not (plan.out / VAE).exists():
        frozen["autoencoder"] = partial(train_autoencoder, plan)
    if not (plan.out / IMAGE_ENCODER).exists():
        frozen["towers"] = partial(train_towers, plan)
    if not (plan.out / CLASSIFIER / MODEL_WEIGHTS).exists():
        frozen["classifier"] = partial(train_classifier, plan)
    run(list(frozen), list(frozen.values()), [1.0] * len(frozen))
    chunks = [c for c in _chunks(plan) if not _chunk_file(plan, *c).exists()]
    names = [f"encode {split} {rows.start}" for split, rows in chunks]
    run(names, [partial(encode, plan, split, rows) for split, rows in chunks], [1.0] * len(chunks))
    if not (plan.out / REAL).exists():
        make_clusters(plan, say)
    jobs: dict[str, tuple[Job, float]] = {}
    if not (plan.out / MONOLITH / EXPERT_WEIGHTS).exists():
        jobs[MONOLITH] = (partial(train_monolith, plan), float(EXPERTS))
    for k in range(EXPERTS):
        if not (plan.folder.expert(k) / EXPERT_WEIGHTS).exists():
            jobs[f"expert-{k}"] = (partial(train_expert, plan, k), 1.0)
    if not (plan.out / ROUTER / ROUTER_WEIGHTS).exists():
        jobs[ROUTER] = (partial(train_router, plan), 1.0)
    run(list(jobs), [job for job, _ in jobs.values()], [cost for _, cost in jobs.values()])
    _finish(plan)


def _open(plan: MiniPlan) -> None:
    """Make the folder this plan's home, or go on with it.

    Raises:
        InputError: if it is another plan's, or no folder of ours.
    """
    place = plan.out / PLAN
    if place.exists():
        if read_json(place) != plan.describe():
            raise InputError(f"{plan.out} was begun with another preset, seed or data; choose another --out")
    elif plan.out.exists() and (not plan.out.is_dir() or any(plan.out.iterdir())):
        raise InputError(f"{plan.out} is not an empty folder and holds no {PLAN}; choose another --out")
    else:
        write_json(place, plan.describe())


def _fit(
    plan: MiniPlan,
    name: str,
    kind: str,
    number: int,
    make: Callable[[], nn.Module],
    objective: Objective[Data],
    data: Data,
    report: Report,
) -> Fitted:
    """Train one part; its resume state stays until the caller has written the result."""
    key = (plan.seed, 60 + _KEYS.index(kind), number)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_generator(*key, 2).initial_seed())
        model = make()
    fitted = Fit(
        name=name,
        key=key,
        identity=digest([name, plan.describe(), asdict(plan.recipe(kind)), len(data)]),
        objective=objective,
        recipe=plan.recipe(kind),
        data=data,
        state_file=plan.work / f"{name}.safetensors",
    )(model, report)
    write_text(plan.out / "losses" / f"{name}.csv", loss_log(fitted.rows))
    write_json(plan.work / f"{name}.json", {"seconds": round(fitted.seconds, 1), "rows": len(data)})
    fitted.model.eval().requires_grad_(False)
    return fitted


def _forget_state(plan: MiniPlan, name: str) -> None:
    (plan.work / f"{name}.safetensors").unlink(missing_ok=True)


def train_autoencoder(plan: MiniPlan, report: Report) -> None:
    """Train the VAE; its latents are scaled to a standard deviation of 1."""
    make = partial(parts.autoencoder, plan.preset)
    fitted = _fit(plan, VAE, "autoencoder", 0, make, AutoencoderObjective(), plan.training, report)
    model: Any = fitted.model
    with torch.no_grad():
        rows = torch.arange(min(_SCALED_BY, len(plan.training)))
        means = [model.encode(plan.training.images(part) * 2 - 1).latent_dist.mean for part in rows.split(250)]
    model.register_to_config(scaling_factor=round(1 / float(torch.cat(means).std()), 5))
    with parts.whole_folder(plan.out / VAE) as folder:
        model.save_pretrained(folder)
    _forget_state(plan, VAE)


def train_towers(plan: MiniPlan, report: Report) -> None:
    """Train image and text tower together on images and captions."""
    vocabulary = read_json(plan.out / TOKENIZER / "vocab.json")
    tokens = _tokens(plan)
    make = partial(parts.Towers, plan.preset, vocabulary)
    fitted = _fit(plan, "towers", "towers", 0, make, ContrastiveObjective(tokens), plan.training, report)
    towers: Any = fitted.model
    with parts.whole_folder(plan.out / TEXT_ENCODER) as folder:
        towers.text.save_pretrained(folder)
    preparation = {"crop_size": {"height": SIDE, "width": SIDE}, "image_mean": parts.MEAN, "image_std": parts.STD}
    with parts.whole_folder(plan.out / IMAGE_ENCODER) as folder:
        towers.image.save_pretrained(folder)
        write_json(folder / "preprocessor_config.json", preparation)
    _forget_state(plan, "towers")


def _tokens(plan: MiniPlan) -> Tensor:
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(str(plan.out / TOKENIZER), local_files_only=True)
    found = tokenizer(list(caption_table()), padding="max_length", truncation=True, return_tensors="pt")
    tokens: Tensor = found["input_ids"]
    return tokens


def train_classifier(plan: MiniPlan, report: Report) -> None:
    """Train the classifier of digit, ink and ground that the metrics use."""
    make = partial(parts.classifier, plan.preset)
    fitted = _fit(plan, CLASSIFIER, "classifier", 0, make, AttributeObjective(), plan.training, report)
    assert isinstance(fitted.model, AttributeClassifier)
    write_classifier(plan.out / CLASSIFIER, fitted.model)
    _forget_state(plan, CLASSIFIER)


def _chunks(plan: MiniPlan) -> list[tuple[str, range]]:
    sizes = {"training": len(plan.training), "held-out": min(len(plan.held_out), REAL_STATES["held-out"])}
    return [(s, range(i, min(i + _CHUNK, n))) for s, n in sizes.items() for i in range(0, n, _CHUNK)]


def _chunk_file(plan: MiniPlan, split: str, rows: range) -> Path:
    return plan.work / "encoded" / f"{split}-{rows.start:06d}.safetensors"


def encode(plan: MiniPlan, split: str, rows: range, report: Report) -> None:
    """Latents and embeddings of some images."""
    data = plan.training if split == "training" else plan.held_out
    codec = ImageCodec(plan.folder, torch.device("cpu"))
    encoder = ImageEncoder(plan.out / IMAGE_ENCODER, torch.device("cpu"))
    latents, features = [], []
    for batch in torch.tensor(list(rows)).split(256):
        images = data.images(batch)
        latents.append(codec.encode(images))
        features.append(encoder.embed(images))
        report((int(batch[-1]) - rows.start + 1) / len(rows))
    tensors = {"latents": torch.cat(latents), "features": torch.cat(features)}
    write_tensors(_chunk_file(plan, split, rows), tensors)


def _encoded(plan: MiniPlan, split: str, name: str) -> Tensor:
    found = [read_tensors(_chunk_file(plan, s, rows))[0][name] for s, rows in _chunks(plan) if s == split]
    return torch.cat(found)


def make_clusters(plan: MiniPlan, say: Callable[[str], None]) -> None:
    """Cluster the training images by their embedding, and keep real states of each split."""
    features = _encoded(plan, "training", "features")
    fine = parts.preset_named(plan.preset)["clusters"]["fine"]
    assignment = two_stage_kmeans(features, EXPERTS, fine, plan.seed)
    write_tensors(plan.work / _ASSIGNMENT, {"assignment": assignment})
    texts = TextEncoder(plan.folder, torch.device("cpu"), Details())
    pooled = torch.stack([texts.pooled(caption) for caption in caption_table()])
    embedded = torch.stack([*(texts.embedding(caption) for caption in caption_table()), texts.null()])
    write_tensors(plan.work / _TEXTS, {"texts": embedded})
    made = {"images": len(features), "first stage": fine, "second stage": EXPERTS, "seed": plan.seed}
    clusters = summarise(features, assignment, EXPERTS, made)
    weight, bias = fit_text(pooled[plan.training.caption_rows], assignment, EXPERTS)
    clusters = replace(clusters, text_weight=weight, text_bias=bias)
    write_clusters(plan.out / CLUSTERS, clusters)
    for line in what_clusters_hold(plan.training, assignment):
        say(line)
    assignments = {"training": assignment, "held-out": clusters.nearest(_encoded(plan, "held-out", "features"))}
    splits = {}
    for split, data in (("training", plan.training), ("held-out", plan.held_out)):
        rows = torch.arange(min(REAL_STATES[split], len(assignments[split])))
        latents = _encoded(plan, split, "latents")[rows]
        splits[split] = RealStates(latents, assignments[split][rows], data.captions(rows))
    write_real(plan.out / REAL, splits)


def what_clusters_hold(data: ColouredDigits, assignment: Tensor) -> list[str]:
    """A line for each cluster: its size, and the most frequent values of each attribute with their shares."""
    lines = []
    for k in range(EXPERTS):
        inside = assignment == k
        told = []
        for column, (name, labels) in enumerate(
            (("digit", DIGITS), ("ink", tuple(COLOURS)), ("ground", tuple(COLOURS)))
        ):
            shares = data.attributes[inside, column].bincount(minlength=len(labels)) / max(1, int(inside.sum()))
            first = shares.argsort(descending=True)[:3].tolist()
            told.append(f"{name} " + ", ".join(f"{labels[i]} {shares[i]:.0%}" for i in first if shares[i] >= 0.01))
        lines.append(f"cluster {k}: {int(inside.sum())} images; {'; '.join(told)}")
    return lines


def _latents(plan: MiniPlan, cluster: int | None) -> LatentData:
    """The training data of one cluster, or of all."""
    assignment = _assignment(plan)
    rows = torch.arange(len(assignment)) if cluster is None else (assignment == cluster).nonzero()[:, 0]
    return LatentData(
        _encoded(plan, "training", "latents")[rows],
        plan.training.caption_rows[rows],
        assignment[rows],
        read_tensors(plan.work / _TEXTS)[0]["texts"],
    )


def _assignment(plan: MiniPlan) -> Tensor:
    """The cluster of each training image."""
    return read_tensors(plan.work / _ASSIGNMENT)[0]["assignment"]


def train_expert(plan: MiniPlan, k: int, report: Report) -> None:
    """Train one expert on the images of its own cluster alone."""
    make, data = partial(parts.expert, plan.preset), _latents(plan, k)
    fitted = _fit(plan, f"expert-{k}", "expert", k, make, CaptionedVelocityObjective(), data, report)
    assert isinstance(fitted.model, ExpertDiT)
    parts.write_expert(plan.folder.expert(k), EXPERT_WEIGHTS, fitted.model, k)
    _forget_state(plan, f"expert-{k}")


def train_monolith(plan: MiniPlan, report: Report) -> None:
    """Train one model of an expert's architecture on all images, with all experts' budget together."""
    make, data = partial(parts.expert, plan.preset), _latents(plan, None)
    fitted = _fit(plan, MONOLITH, "monolith", 0, make, CaptionedVelocityObjective(), data, report)
    assert isinstance(fitted.model, ExpertDiT)
    parts.write_expert(plan.out / MONOLITH, EXPERT_WEIGHTS, fitted.model, None)
    _forget_state(plan, MONOLITH)


def train_router(plan: MiniPlan, report: Report) -> None:
    """Train the router."""
    make, data = partial(parts.router, plan.preset, EXPERTS), _latents(plan, None)
    fitted = _fit(plan, ROUTER, "router", 0, make, ClusterObjective(), data, report)
    assert isinstance(fitted.model, RouterDiT)
    parts.write_router(plan.out / ROUTER, ROUTER_WEIGHTS, fitted.model)
    _forget_state(plan, ROUTER)


def _finish(plan: MiniPlan) -> None:
    """Write captions, configurations and the card, and delete what only the training needed."""
    write_text(plan.out / CAPTIONS, "\n".join(all_captions(held_out=False)) + "\n")
    write_text(plan.out / HELD_OUT_CAPTIONS, "\n".join(all_captions(held_out=True)) + "\n")
    root = plan.folder.root
    write_json(
        plan.out / CONFIG,
        {
            **asdict(root),
            "use_latents": True,
            "expert_architecture": "dit",
            "router_architecture": "dit",
        },
    )
    write_json(plan.out / "model_index.json", {"_class_name": "DDMPipeline"})
    trained = {file.stem: read_json(file) for file in sorted(plan.work.glob("*.json"))}
    card = {
        "schema": 1,
        "command": plan.command,
        "plan": plan.describe(),
        "trained": trained,
        "clusters": what_clusters_hold(plan.training, _assignment(plan)),
        "versions": versions(),
        "figures": {},
    }
    write_json(plan.out / CARD, card)
    shutil.rmtree(plan.work)
