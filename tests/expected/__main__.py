"""`python tests/expected` trains tiny parts again and keeps their losses; a commit of that says why they moved."""

import tempfile
from pathlib import Path

from losses import HERE, PARTS, trained_losses

from mnist_ddm.data import load_images
from mnist_ddm.storage.files import write_text


def main() -> None:
    """Write the losses of all parts."""
    images = load_images()
    for part in PARTS:
        with tempfile.TemporaryDirectory() as folder:
            write_text(HERE / f"{part}.csv", trained_losses(images, part, Path(folder) / "out"))
        print(HERE / f"{part}.csv")


if __name__ == "__main__":
    main()
