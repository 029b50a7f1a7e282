"""Training the small Paris, stage by stage: what a stage has finished is not done again.

1. the VAE, the image and text towers (one contrastive training) and the classifier of the metrics;
2. latents and embeddings of all images, and the clusters: two-stage k-means on the image embeddings;
3. the experts, each on its own cluster alone, the router, and the monolith with all experts' budget together.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from mnist_ddm.compute.parallel import OnProgress
from mnist_ddm.errors import InputError
from mnist_ddm.storage.files import read_json, write_json, write_text
from mnist_ddm.versions import versions
from paris_ddm.folder import (
    CAPTIONS,
    CARD,
    CLASSIFIER,
    CONFIG,
    EXPERT_WEIGHTS,
    HELD_OUT_CAPTIONS,
    IMAGE_ENCODER,
    MODEL_WEIGHTS,
    MONOLITH,
    PLAN,
    REAL,
    ROUTER,
    ROUTER_WEIGHTS,
    TEXT_ENCODER,
    TOKENIZER,
    VAE,
)
from paris_ddm.mini import parts
from paris_ddm.mini.clustering import assignment_of, chunk_file, chunks, encode, make_clusters, what_clusters_hold
from paris_ddm.mini.data import (
    all_captions,
    caption_table,
)
from paris_ddm.mini.encoders import train_autoencoder, train_classifier, train_towers
from paris_ddm.mini.experts import train_expert, train_monolith, train_router
from paris_ddm.mini.plan import CLUSTERINGS, MiniPlan
from paris_ddm.mini.tokenizer import write_tokenizer
from paris_ddm.model_card import write_model_card

Job = Callable[[OnProgress], None]
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
    if plan.source is not None:
        _take(plan, plan.source, say)
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
    missing = [c for c in chunks(plan) if not chunk_file(plan, *c).exists()]
    names = [f"encode {split} {rows.start}" for split, rows in missing]
    run(names, [partial(encode, plan, split, rows) for split, rows in missing], [1.0] * len(missing))
    if not (plan.out / REAL).exists():
        make_clusters(plan, say)
    jobs: dict[str, tuple[Job, float]] = {}
    if not (plan.out / MONOLITH / EXPERT_WEIGHTS).exists():
        jobs[MONOLITH] = (partial(train_monolith, plan), float(plan.experts))
    for k in range(plan.experts):
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


def _take(plan: MiniPlan, source: Path, say: Callable[[str], None]) -> None:
    """Copy the parts that do not depend on the clusters from a finished model; the monolith if its budget is the same.

    Raises:
        InputError: if that is no finished model of the same preset, seed and data.
    """
    told = [read_json(place) for place in (source / PLAN, source / CARD)] if (source / CARD).exists() else []
    if not told or {**told[0], "clusters": ""} != {**plan.describe(), "clusters": ""}:
        raise InputError(f"{source} is no finished model of this preset, seed and data; choose another --share")
    same = CLUSTERINGS.get(told[0].get("clusters", "embedding")) == plan.experts
    for part in (TOKENIZER, TEXT_ENCODER, IMAGE_ENCODER, VAE, CLASSIFIER, *([MONOLITH] if same else [])):
        if not (plan.out / part).exists():
            with parts.whole_folder(plan.out / part) as folder:
                shutil.copytree(source / part, folder, dirs_exist_ok=True)
            say(f"{part} is that of {source}")


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
        "clusters": what_clusters_hold(plan.training, assignment_of(plan)),
        "versions": versions(),
        "figures": {},
    }
    write_json(plan.out / CARD, card)
    write_model_card(plan.out)
    shutil.rmtree(plan.work)
