"""A checkpoint of the experts as they were after some steps of a training that kept them (`--keep-every`).

    python docs/stage.py build/stages 400 build/stage-400

The router is the one that ships, so that stages differ in their experts alone.
"""

import shutil
import sys
from pathlib import Path

from mnist_ddm.models.checkpoint import kept_file
from mnist_ddm.models.shipped import CARD
from mnist_ddm.storage.files import read_json, sha256, write_json

SHIPPED = Path(__file__).parents[1] / "checkpoints" / "mnist-classroom"


def main(source: Path, step: int, out: Path) -> None:
    """Write the checkpoint; one that is there is written again."""
    out.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / CARD, out / CARD)
    for card in sorted(source.glob("expert-*.json")):
        weights = out / f"{card.stem}.safetensors"
        shutil.copyfile(kept_file(source, card.stem, step), weights)
        write_json(out / card.name, read_json(card) | {"sha256": sha256(weights)})
    for ending in ("json", "safetensors"):
        shutil.copyfile(SHIPPED / f"router.{ending}", out / f"router.{ending}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
