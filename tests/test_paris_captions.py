"""Captions and pictures from files, as people have them."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from mnist_ddm.errors import InputError
from mnist_ddm.systems.registry import load_system
from paris_ddm.captions import read_captions
from paris_ddm.config import Details
from paris_ddm.images import read_image
from paris_ddm.mini.data import attributes, caption_table, captions_of
from paris_ddm.text import _KEPT, TextEncoder


def test_captions_are_read_as_they_are_made():
    for digit, ink, ground in ((0, 1, 2), (7, 6, 1), (9, 0, 7)):
        for caption in captions_of(digit, ink, ground):
            assert [a.label(caption) for a in attributes()] == [digit, ink, ground]
    assert [a.label("a photograph of a dog") for a in attributes()] == [-1, -1, -1]
    assert len(set(caption_table())) == 10 * 8 * 8 * 3


def test_captions_from_files(tmp_path):
    lines, coco, plain = tmp_path / "a.txt", tmp_path / "b.json", tmp_path / "c.json"
    lines.write_text("one  dog\n\n two cats \n")
    coco.write_text(json.dumps({"images": [], "annotations": [{"caption": "A man."}, {"caption": "A woman."}]}))
    plain.write_text('["x", "y"]')
    assert read_captions(lines) == ("one dog", "two cats")
    assert read_captions(coco) == ("A man.", "A woman.")
    assert read_captions(plain) == ("x", "y")
    for content, message in ((b"\n", "no caption"), (b"\xff\xfe", "UTF-8")):
        lines.write_bytes(content)
        with pytest.raises(InputError, match=message):
            read_captions(lines)
    for content in ("{}", "[1]", '{"annotations": [{}]}', "{"):
        coco.write_text(content)
        with pytest.raises(InputError, match=r"JSON|COCO"):
            read_captions(coco)
    with pytest.raises(InputError, match="does not exist"):
        read_captions(tmp_path / "nothing.txt")
    for name in ("captions.csv", "captions", "captions.txt.gz"):
        with pytest.raises(InputError, match=r"ends in \.txt, \.jsonl, \.json"):
            read_captions(tmp_path / name)


def test_captions_are_divided_at_the_ends_of_lines_alone(tmp_path):
    text, lines = tmp_path / "a.TXT", tmp_path / "b.jsonl"
    text.write_bytes("\ufeffa dog\u2028asleep\r\ntwo\x0ccats\x85here\rone \x1ebird".encode())
    assert read_captions(text) == ("a dog asleep", "two cats here", "one bird")
    lines.write_text('{"file_name": "1.png", "text": "a dog\u2028asleep"}\n\n{"text": "two\\ncats"}\n')
    assert read_captions(lines) == ("a dog asleep", "two cats")
    for wrong in ('{"caption": "x"}', "{", '{"text": 3}', "[" * 10000):
        lines.write_text('{"text": "x"}\n' + wrong)
        with pytest.raises(InputError, match="line 2 of") as error:
            read_captions(lines)
        assert "\n" not in str(error.value)


def test_captions_that_are_cut_are_counted_once(tiny_paris, tmp_path, caplog):
    file = tmp_path / "mine.txt"
    file.write_text(
        "a red two on a blue ground\n" + "\n".join(f"a {'very ' * 90}red {n}" for n in ("two", "six", "two"))
    )
    pool = load_system("paris", paris_dir=tiny_paris, captions=file)
    (record,) = caplog.records
    told = record.getMessage()
    assert told.startswith(f"2 of the captions in {file} are longer than the {pool.caption_length} tokens")
    assert "\n" not in told
    assert len(pool.cut_captions) == 2
    caplog.clear()
    load_system("paris", paris_dir=tiny_paris)
    assert not caplog.records


def test_encodings_of_the_captions_that_were_asked_for_last_are_kept_and_no_others():
    encoded = []

    def tokenizer(captions, **options):
        encoded.extend(captions)
        return {"input_ids": torch.zeros(1, 4, dtype=torch.int64)}

    def model(tokens):
        return SimpleNamespace(last_hidden_state=torch.zeros(1, 4, 2), pooler_output=torch.zeros(1, 2))

    tokenizer.model_max_length = 4
    model.config = SimpleNamespace(max_position_embeddings=4)
    encoder = TextEncoder(Path("none"), torch.device("cpu"), Details())
    encoder._parts = tokenizer, model
    captions = [f"caption number {i}" for i in range(600)]
    for caption in captions:
        encoder.embedding(caption)
    assert len(encoder._known) == _KEPT == 512
    encoder.pooled(captions[-_KEPT])  # is known, and now the last that was asked for
    assert encoded == captions
    encoder.embedding(captions[0])
    encoder.embedding(captions[-_KEPT])
    assert encoded == [*captions, captions[0]]


def test_pictures_as_cameras_and_scanners_make_them(tmp_path):
    deep = np.linspace(0, 65535, 64, dtype=np.uint16).reshape(8, 8)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    grey = read_image(tmp_path / "deep.png", 8)
    assert grey.shape == (3, 8, 8)
    assert np.allclose(grey[1].numpy(), deep / 65535, atol=1 / 255)
    top = np.zeros((8, 8, 3), np.uint8)
    top[:4] = 255
    held = Image.Exif()
    held[0x0112] = 3  # upside down
    Image.fromarray(top).save(tmp_path / "held.png", exif=held)
    assert read_image(tmp_path / "held.png", 8)[:, :4].sum() == 0
    Image.new("1", (20_000, 20_000)).save(tmp_path / "huge.png")
    with pytest.raises(InputError, match=r"huge\.png has too many pixels") as error:
        read_image(tmp_path / "huge.png", 8)
    assert "\n" not in str(error.value)
