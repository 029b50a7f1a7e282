"""The `paris` system of the command line: a local folder, a repository on the hub, or the small model that ships."""

import logging
from importlib.util import find_spec
from pathlib import Path

from mnist_ddm.core.pool import ExpertPool
from mnist_ddm.errors import InputError
from mnist_ddm.models.shipped import checkpoints_folder

_log = logging.getLogger("mnist_ddm")


def need_extra() -> None:
    """Make sure that the libraries of the extra `paris` are installed.

    Raises:
        InputError: that says how to get them.
    """
    if any(find_spec(library) is None for library in ("diffusers", "transformers", "huggingface_hub", "sklearn")):
        raise InputError("the system 'paris' needs its extra: pip install 'mnist-ddm[paris]'")


def load(
    device: str = "cpu",
    checkpoint: Path | None = None,
    data_dir: Path | None = None,
    paris_dir: Path | str | None = None,
    paris_repo: str | None = None,
    revision: str | None = None,
    captions: Path | str | None = None,
    guidance: float | None = None,
    guide: str | None = None,
    dtype: str | None = None,
    detail: tuple[str, ...] = (),
) -> ExpertPool:
    """The model of a folder; without one, the small model that ships.

    Args:
        device: `cpu`, `cuda`, `mps`.
        checkpoint: another name for ``paris_dir``, or the name of a shipped model.
        data_dir: a folder made by `mnist-ddm paris cluster`, with what only measurements need.
        paris_dir: the folder of a model in the release's format.
        paris_repo: a repository on the hub instead, `owner/name`.
        revision: of the repository.
        captions: a file of captions; see `read_captions`.
        guidance: scale of classifier-free guidance; the paper's 4 by default.
        guide: what guidance leads away from: each `expert`'s own velocity without a caption, or that of their `blend`.
        dtype: `float32` or `bfloat16`.
        detail: settings of `Details`, as `time=1000t`.

    Raises:
        InputError: if the extra `paris` is not installed, or a part is missing or damaged.
    """
    need_extra()
    from paris_ddm.config import parse_details
    from paris_ddm.folder import SHIPPED, download
    from paris_ddm.pool import GUIDANCE, GUIDES, ParisPool, ParisSettings

    if revision is not None and paris_repo is None:
        raise InputError("--revision belongs to a repository on the hub; give it with --paris-repo")
    if sum(place is not None for place in (checkpoint, paris_dir, paris_repo)) > 1:
        raise InputError("give one of --paris-dir, --paris-repo and --checkpoint")
    shipped = checkpoints_folder() / SHIPPED
    if paris_repo is not None:
        path = download(paris_repo, revision)
    else:
        path = Path(next((given for given in (paris_dir, checkpoint) if given is not None), shipped))
        if path.name == str(path) and not path.exists() and (checkpoints_folder() / path.name).is_dir():
            path = checkpoints_folder() / path.name
    settings = ParisSettings(
        path=path,
        data=data_dir,
        captions=None if captions is None else Path(captions),
        guidance=GUIDANCE if guidance is None else guidance,
        guide=GUIDES[0] if guide is None else guide,
        dtype="float32" if dtype is None else dtype,
        device=device,
        details=parse_details(detail),
        shipped=path.resolve() == shipped.resolve(),
    )
    pool = ParisPool(settings)
    if captions is not None and (cut := pool.cut_captions):
        _log.warning(
            "%d of the captions in %s are longer than the %d tokens that the model reads, and are cut: %.60s ...",
            len(cut), captions, pool.caption_length, cut[0],
        )  # fmt: skip
    return pool
