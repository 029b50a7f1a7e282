"""The first stage: the VAE, image and text towers in one contrastive training, the classifier of the metrics."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from mnist_ddm.compute.parallel import OnProgress
from mnist_ddm.storage.files import read_json, write_json
from paris_ddm.attributes import AttributeClassifier, write_classifier
from paris_ddm.folder import (
    CLASSIFIER,
    IMAGE_ENCODER,
    TEXT_ENCODER,
    TOKENIZER,
    VAE,
)
from paris_ddm.mini import parts
from paris_ddm.mini.data import (
    SIDE,
    caption_table,
)
from paris_ddm.mini.objectives import (
    AttributeObjective,
    AutoencoderObjective,
    ContrastiveObjective,
)
from paris_ddm.mini.plan import MiniPlan, fit_part, forget_state
from paris_ddm.text import load_pretrained

_SCALED_BY = 2000
"""Images whose latents decide the scaling factor."""


def train_autoencoder(plan: MiniPlan, report: OnProgress) -> None:
    """Train the VAE; its latents are scaled to a standard deviation of 1."""
    make = partial(parts.autoencoder, plan.preset)
    fitted = fit_part(plan, VAE, "autoencoder", 0, make, AutoencoderObjective(), plan.training, report)
    model: Any = fitted.model
    with torch.no_grad():
        rows = torch.arange(min(_SCALED_BY, len(plan.training)))
        means = [model.encode(plan.training.images(part) * 2 - 1).latent_dist.mean for part in rows.split(250)]
    model.register_to_config(scaling_factor=round(1 / float(torch.cat(means).std()), 5))
    with parts.whole_folder(plan.out / VAE) as folder:
        model.save_pretrained(folder)
    forget_state(plan, VAE)


def train_towers(plan: MiniPlan, report: OnProgress) -> None:
    """Train image and text tower together on images and captions."""
    vocabulary = read_json(plan.out / TOKENIZER / "vocab.json")
    tokens = _tokens(plan)
    make = partial(parts.Towers, plan.preset, vocabulary)
    fitted = fit_part(plan, "towers", "towers", 0, make, ContrastiveObjective(tokens), plan.training, report)
    towers: Any = fitted.model
    with parts.whole_folder(plan.out / TEXT_ENCODER) as folder:
        towers.text.save_pretrained(folder)
    preparation = {"crop_size": {"height": SIDE, "width": SIDE}, "image_mean": parts.MEAN, "image_std": parts.STD}
    with parts.whole_folder(plan.out / IMAGE_ENCODER) as folder:
        towers.image.save_pretrained(folder)
        write_json(folder / "preprocessor_config.json", preparation)
    forget_state(plan, "towers")


def _tokens(plan: MiniPlan) -> Tensor:
    from transformers import CLIPTokenizer

    tokenizer = load_pretrained(CLIPTokenizer, plan.out / TOKENIZER)
    encoded = tokenizer(list(caption_table()), padding="max_length", truncation=True, return_tensors="pt")
    tokens: Tensor = encoded["input_ids"]
    return tokens


def train_classifier(plan: MiniPlan, report: OnProgress) -> None:
    """Train the classifier of digit, ink and ground that the metrics use."""
    make = partial(parts.classifier, plan.preset)
    fitted = fit_part(plan, CLASSIFIER, "classifier", 0, make, AttributeObjective(), plan.training, report)
    assert isinstance(fitted.model, AttributeClassifier)
    write_classifier(plan.out / CLASSIFIER, fitted.model)
    forget_state(plan, CLASSIFIER)
