"""Every reader of files, each with valid files to mutate and with what must hold of what it returns."""

import gzip
import io
import json
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.console import Console

from mnist_ddm import Study
from mnist_ddm.claims.judge import judge_run
from mnist_ddm.cli.info import _card
from mnist_ddm.core.visits import Sampling
from mnist_ddm.data import load_images
from mnist_ddm.exercises import leaderboard
from mnist_ddm.exercises.workspace import Workspace
from mnist_ddm.figures.draw import plot_svg
from mnist_ddm.figures.plot import read_plot
from mnist_ddm.models.checkpoint import (
    load_part,
    load_weights,
    open_system,
    read_figures,
    read_part_card,
    read_system_card,
)
from mnist_ddm.models.presets import preset_named
from mnist_ddm.pages.cells import cell, is_number, told_columns
from mnist_ddm.pages.compare import differing_facts, side_by_side
from mnist_ddm.pages.readme import BEGIN, END, put_verdicts
from mnist_ddm.pages.report import _facts, write_report
from mnist_ddm.storage.door import read_csv, read_unpacked
from mnist_ddm.storage.files import is_finite, read_json, sha256, write_json, write_tensors
from mnist_ddm.storage.recordings import RecordingStore
from mnist_ddm.study.again import load_again, study_again
from mnist_ddm.study.folder import Provenance
from mnist_ddm.study.record import record
from mnist_ddm.study.results import read_manifest, read_results
from mnist_ddm.study.verify import check_files, check_recordings
from mnist_ddm.systems.gaussian import load
from mnist_ddm.tables.files import read_table, to_csv, to_json
from mnist_ddm.tables.terminal import to_rich
from mnist_ddm.terminal.screen import Screen
from mnist_ddm.training.loop import loss_log
from mnist_ddm.training.module import TrainingModule
from mnist_ddm.training.state import load_state, save_state
from paris_ddm.attributes import read_classifier
from paris_ddm.captions import read_captions
from paris_ddm.checkpoint import load_mapped
from paris_ddm.clusters import read_clusters
from paris_ddm.config import Details, DiTExpertConfig, DiTRouterConfig, read_config
from paris_ddm.dit import RouterDiT
from paris_ddm.folder import open_folder
from paris_ddm.images import ImageEncoder, read_image
from paris_ddm.real import read_real
from paris_ddm.realise import _caption
from paris_ddm.text import load_pretrained


@dataclass(frozen=True)
class Reader:
    """One way in.

    Attributes:
        name: for the count.
        files: that are mutated, one or two at a time.
        read: reads them; what it returns has been found right, or it raises.
        weight: of the processor's time that all readers have; quick ones have more, as there is most to try.
        below: a folder in which the reader may delete or write files, to be put back; by default it only reads.
    """

    name: str
    files: tuple[Path, ...]
    read: Callable[[], object]
    weight: float = 1.0
    below: Path | None = None


def readers(place: Path, checkpoint: Path, paris: Path) -> list[Reader]:
    """All readers, on copies of valid files below a folder."""
    return [
        *_plain(place / "plain"),
        *_cards(place, checkpoint),
        *_runs(place),
        *_recordings(place / "store"),
        *_data(place / "data"),
        *_exercises(place / "exercises"),
        *_paris(place, paris),
    ]


def _plain(place: Path) -> list[Reader]:
    place.mkdir()
    write_json(place / "a.json", {"a": [1, {"b": None}], "c": "d", "e": [0.5, "é", True]})
    (place / "a.csv").write_text('a,b\n1,"x, y"\n2,"z\n"\n')
    (place / "a.gz").write_bytes(gzip.compress(b"some text" * 50))
    write_tensors(place / "a.safetensors", {"a": torch.ones(3)})
    return [
        Reader("json", (place / "a.json",), lambda: json.dumps(read_json(place / "a.json")).encode(), 5),
        Reader("csv", (place / "a.csv",), lambda: read_csv(place / "a.csv"), 3),
        Reader("gzip", (place / "a.gz",), lambda: read_unpacked(place / "a.gz", 10**6), 3),
        Reader("hash", (place / "a.csv",), lambda: sha256(place / "a.csv"), 0.5),
    ]


def _cards(place: Path, checkpoint: Path) -> list[Reader]:
    copy = shutil.copytree(checkpoint, place / "checkpoint")
    system = read_system_card(copy)
    router = copy / "router.safetensors"

    def weights() -> None:
        model = load_weights(router, "router", system, "cpu")
        assert all(is_finite(value) for value in model.state_dict().values())

    def cards() -> None:
        _card(copy).show(Screen(file=io.StringIO(), width=100), last=True)

    def system_card() -> None:
        card = read_system_card(copy)
        assert isinstance(card.n_experts, int)
        read_figures(copy)
        open_system(copy, card)

    state, parameters = place / "state" / "it.safetensors", torch.nn.Linear(3, 2)
    recipe = preset_named(system.preset).recipes["router"]
    module = TrainingModule(parameters, None, recipe)
    fresh = TrainingModule(parameters, None, recipe)
    optimizer = module.configure_optimizers()
    parameters(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    module._optimizer = lambda: optimizer
    module.finish_step()
    save_state(state, module, "id", [{"step": 1, "loss": 0.5, "loss_t0.0": float("nan")}], 1.5, {"torch": "2"})

    def resumed() -> None:
        log, seconds, _ = load_state(state, fresh, "id")
        assert seconds >= 0
        assert (fresh.done, log[-1]["step"]) == (1, 1)
        loss_log(log).encode()
        assert all(value.dtype == torch.float32 for value in fresh.state_dict().values())
        fresh.configure_optimizers()

    return [
        Reader("system card", (copy / "card.json",), system_card, 5),
        Reader("part card", (copy / "router.json",), lambda: read_part_card(copy, "router"), 5),
        Reader("cards shown by info", (copy / "card.json", copy / "expert-0.json", copy / "router.json"), cards, 2),
        Reader("weights", (router,), weights, 2),
        Reader("a part", (router, router.with_suffix(".json")), lambda: load_part(copy, "router", system)),
        Reader("resume state", (state,), resumed, 2),
    ]


def _runs(place: Path) -> list[Reader]:
    store = RecordingStore(place / "run store")
    study = Study(load("cpu"), ["expert-deviation", "router-calibration"], n=4, steps=2, store=store)
    run = study.write(place / "run").folder
    manifest, other = run / "manifest.json", read_manifest(run)
    every = [sorted((run / folder).glob("*.json"), key=lambda f: f.stat().st_size) for folder in ("results", "plots")]
    tables, plots = tuple(every[0][:2]), tuple(every[1][:1])

    def table() -> None:
        console = Console(file=io.StringIO(), width=100)
        for file in tables:
            read = read_table(file)
            to_csv(read).encode()
            console.print(to_rich(read, 100))
            for row in read.rows:
                for column in told_columns(read):
                    str(cell(row.get(column.key)))
                    is_number(read, column)
            json.dumps(to_json(read))

    def plot() -> None:
        for file in plots:
            plot_svg(read_plot(file), "p")

    def of_manifest() -> None:
        read = read_manifest(run)
        _facts(read)
        differing_facts(read, other)
        check_recordings(read, store)
        check_files(run, {**read.results, **read.derived}, read.command)

    def again() -> None:
        read = read_manifest(run)
        study_again(read, load_again(read), store)

    def compared() -> None:
        results = read_results(run)
        side_by_side(results, results)

    def report() -> None:
        judgements = judge_run(run)
        write_report(run, judgements)

    def opened() -> None:
        study.open(run, Provenance())

    readme = place / "page.md"
    readme.write_text(f"# A page\n\n{BEGIN}\n{END}\n")
    return [
        Reader("table", tables, table, 3),
        Reader("plot", plots, plot, 5),
        Reader("manifest", (manifest,), of_manifest, 4, run),
        Reader("manifest, loaded again", (manifest,), again, 2),
        Reader("run compared", (manifest, *tables), compared, 2),
        Reader("run reported", (manifest, *tables, *plots), report, 6, run),
        Reader("run gone on with", (manifest,), opened, 3, run),
        Reader("page with verdicts", (readme,), lambda: put_verdicts(readme, run, []), 1),
    ]


def _recordings(place: Path) -> list[Reader]:
    pool, sampling, store = load("cpu"), Sampling("top2", n=5, steps=2), RecordingStore(place)
    whole = record(pool, sampling, ("angles",), store)
    folder = place / whole.key
    files = tuple(sorted(folder.glob("*/*.safetensors")))
    index = folder / "recording.json"

    def recorded() -> None:
        read = record(pool, sampling, ("angles",), store)
        assert torch.equal(read.final, whole.final)
        assert torch.equal(read.observed["angles"], whole.observed["angles"])

    def listed() -> None:
        store.list()
        record(pool, sampling, (), store)

    seals = tuple(sorted(folder.glob("*/*.sha256")))
    return [Reader("recording", (*files, *seals), recorded, 4), Reader("recording's index", (index,), listed)]


def _data(place: Path) -> list[Reader]:
    place.mkdir()
    rng = np.random.Generator(np.random.Philox(1))
    for split, n in (("train", 20), ("t10k", 10)):
        images, labels = rng.integers(0, 256, (n, 28, 28), np.uint8), (np.arange(n) % 10).astype(np.uint8)
        (place / f"{split}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 2051, n, 28, 28) + images.tobytes())
        packed = gzip.compress(struct.pack(">2I", 2049, n) + labels.tobytes())
        (place / f"{split}-labels-idx1-ubyte.gz").write_bytes(packed)

    def data() -> None:
        images = load_images(place)
        assert images.train_images.shape[1:] == (1, 28, 28)
        assert len(images.train_images) == len(images.train_labels) > 0
        assert 0 <= int(images.test_labels.min()) <= int(images.test_labels.max()) < images.classes

    return [Reader("idx", tuple(sorted(place.iterdir())), data, 5)]


def _exercises(place: Path) -> list[Reader]:
    place.mkdir()
    board = place / "board.csv"
    leaderboard.write(board, [leaderboard.Entry("a", 1.0, 2.0, "1 2", "0" * 64)])
    progress = {"started": "now", "checks": 1, "hints": 0, "passed": "", "sha256": "", "best": 0.5}
    write_json(place / "exercises.json", {"schema": 1, "current": "order", "exercises": {"order": progress}})

    def workspace() -> None:
        opened = Workspace(place)
        assert isinstance(opened.progress("order").checks + opened.progress("order").hints, int)
        assert isinstance(opened.current, str)

    return [
        Reader("leaderboard", (board,), lambda: sorted(leaderboard.read(board), key=lambda e: e.value), 4),
        Reader("exercises", (place / "exercises.json",), workspace, 5),
    ]


def _paris(place: Path, model: Path) -> list[Reader]:
    copy, cpu = shutil.copytree(model, place / "paris"), torch.device("cpu")
    root = open_folder(copy).root
    config = read_config(copy / "router" / "config.json", DiTRouterConfig)
    shape = (root.num_channels, root.image_size, root.image_size)
    captions = place / "captions"
    captions.mkdir()
    (captions / "a.txt").write_text("a red one\n\ntwo blue ones\n")
    (captions / "a.jsonl").write_text('{"text": "a red one"}\n{"text": "two"}\n')
    write_json(captions / "a.json", {"annotations": [{"caption": "a red one"}, {"caption": "two"}]})
    pictures = place / "pictures"
    pictures.mkdir()
    noise = np.random.Generator(np.random.Philox(2)).integers(0, 256, (9, 12, 3), np.uint8)
    for suffix in ("png", "jpg", "bmp", "webp"):
        Image.fromarray(noise).save(pictures / f"a.{suffix}")

    def network() -> None:
        with torch.device("meta"):
            empty = RouterDiT(config, root.image_size, Details())
        read = load_mapped(empty, copy / "router" / "pytorch_model.safetensors")
        assert all(is_finite(p) for p in read.parameters() if p.device.type != "meta")

    def clusters() -> None:
        read = read_clusters(copy / "clusters.safetensors", root.num_experts)
        assert abs(float(read.prior.sum()) - 1) < 1e-9
        read.nearest(torch.zeros(2, read.centroids.shape[1]))
        read.of_caption(torch.zeros(2, read.text_weight.shape[1]))

    def real() -> None:
        for states in read_real(copy / "real.safetensors", shape, root.num_experts).values():
            assert is_finite(states.latents)
            assert all(isinstance(caption, str) for caption in states.captions)

    def classifier() -> None:
        read = read_classifier(copy / "classifier", cpu)
        assert all(is_finite(p) for p in read.parameters())
        [attribute.label("a red seven") for attribute in read.attributes]

    def preparation() -> None:
        encoder = ImageEncoder(copy / "image_encoder", cpu)
        encoder.__dict__["_model"] = type("Model", (), {"config": type("Config", (), {"image_size": 4})})
        side, mean, std = encoder._preparation
        assert 1 <= side <= 4096
        assert mean.shape == std.shape == (3,)

    def pictured() -> None:
        for file in sorted(pictures.glob("a.*")):
            picture = read_image(file, 8)
            assert picture.shape == (3, 8, 8)
            assert 0 <= float(picture.min()) <= float(picture.max()) <= 1

    def tokenizer() -> None:
        from transformers import CLIPTokenizer

        load_pretrained(CLIPTokenizer, copy / "tokenizer")

    def text_encoder() -> None:
        from transformers import CLIPTextModel

        part = load_pretrained(CLIPTextModel, copy / "text_encoder", use_safetensors=True)
        assert all(is_finite(p) for p in part.parameters())

    def said() -> None:
        for file in sorted(captions.glob("a.*")):
            assert all(isinstance(caption, str) and caption for caption in read_captions(file))

    expert = copy / "expert_0" / "config.json"
    beside = pictures / "b.txt"
    beside.write_text("a caption")
    return [
        Reader("paris folder", (copy / "config.json",), lambda: open_folder(copy), 4),
        Reader("expert configuration", (expert,), lambda: read_config(expert, DiTExpertConfig), 5),
        Reader("network", (copy / "router" / "pytorch_model.safetensors",), network, 2),
        Reader("clusters", (copy / "clusters.safetensors",), clusters, 2),
        Reader("real states", (copy / "real.safetensors",), real, 2),
        Reader(
            "classifier",
            (copy / "classifier" / "config.json", copy / "classifier" / "model.safetensors"),
            classifier,
            2,
        ),
        Reader("preparation", (copy / "image_encoder" / "preprocessor_config.json",), preparation, 4),
        Reader("pictures", tuple(sorted(pictures.glob("a.*"))), pictured, 6),
        Reader("caption beside", (beside,), lambda: _caption(beside.with_suffix(".png")), 2),
        Reader("captions", tuple(sorted(captions.glob("a.*"))), said, 6),
        Reader("tokenizer", tuple(sorted((copy / "tokenizer").iterdir())), tokenizer),
        Reader("text encoder", tuple(sorted((copy / "text_encoder").iterdir())), text_encoder, 4),
    ]
