"""Where the parts of a Paris model lie, on this disk or on the hub."""

from dataclasses import dataclass
from pathlib import Path

from mnist_ddm.errors import InputError
from paris_ddm.config import RootConfig, read_config

SHIPPED = "paris-mini"
CONFIG = "config.json"
CARD = "card.json"
PLAN = "plan.json"
"""What a training of the small model leaves; the release has none."""
EXPERT_WEIGHTS = "diffusion_pytorch_model.safetensors"
ROUTER_WEIGHTS = "pytorch_model.safetensors"
MODEL_WEIGHTS = "model.safetensors"

VAE, TEXT_ENCODER, TOKENIZER, IMAGE_ENCODER = "vae", "text_encoder", "tokenizer", "image_encoder"
ROUTER, MONOLITH, CLASSIFIER = "router", "monolith", "classifier"
CLUSTERS, REAL = "clusters.safetensors", "real.safetensors"
CAPTIONS, HELD_OUT_CAPTIONS = "captions.txt", "captions-held-out.txt"


@dataclass(frozen=True)
class ParisFolder:
    """The files of one model: those of the release, and those that only measurements need.

    The release has `config.json`, `expert_K/`, `router/`, `vae/`, `text_encoder/` and `tokenizer/`. Beside them, or in
    a folder of their own (``data``), may lie `image_encoder/` (DINOv2), `clusters.safetensors`, `real.safetensors`,
    `captions.txt`, `captions-held-out.txt`, `monolith/` and `classifier/`.

    Attributes:
        path: of the model.
        root: its configuration.
        data: where to look first for what the release does not have.
    """

    path: Path
    root: RootConfig
    data: Path | None = None

    @property
    def state_shape(self) -> tuple[int, int, int]:
        """Of a latent, ``(C, S, S)``."""
        return (self.root.num_channels, self.root.image_size, self.root.image_size)

    def expert(self, k: int) -> Path:
        """The folder of an expert."""
        return self.path / f"expert_{k}"

    def find(self, name: str) -> Path | None:
        """A file or folder that the release does not have, or ``None``."""
        places = [place / name for place in (self.data, self.path) if place is not None]
        return next((place for place in places if place.exists()), None)

    def need(self, name: str, remedy: str) -> Path:
        """A file or folder that the release does not have.

        Raises:
            InputError: if there is none; the message ends with the remedy.
        """
        place = self.find(name)
        if place is None:
            where = " or ".join(str(folder) for folder in (self.data, self.path) if folder is not None)
            raise InputError(f"there is no {name} in {where}; {remedy}")
        return place


def open_folder(path: Path, data: Path | None = None) -> ParisFolder:
    """Open the folder of a model; nothing but small configuration files is read.

    Raises:
        InputError: if the folder or one of its parts is missing, or its configuration is of another architecture.
    """
    if not path.is_dir():
        raise InputError(
            f"there is no folder {path}; give that of a Paris model with --paris-dir (`mnist-ddm paris train-mini` "
            "makes a small one)"
        )
    if data is not None and not data.is_dir():
        raise InputError(f"there is no folder {data}; --data-dir is a folder made by `mnist-ddm paris cluster`")
    if not (path / CONFIG).exists():
        raise InputError(f"{path} is not a Paris model: it has no {CONFIG}")
    root = read_config(path / CONFIG, RootConfig)
    files = [f"expert_{k}/{name}" for k in range(root.num_experts) for name in (CONFIG, EXPERT_WEIGHTS)]
    files += [f"{ROUTER}/{CONFIG}", f"{ROUTER}/{ROUTER_WEIGHTS}"]
    files += [f"{part}/{CONFIG}" for part in (VAE, TEXT_ENCODER)]
    for file in files:
        if not (path / file).exists():
            raise InputError(f"{path} is not a whole Paris model of {root.num_experts} experts: it has no {file}")
    return ParisFolder(path, root, data)


def download(repo: str, revision: str | None) -> Path:
    """The folder of a model on the Hugging Face hub, downloaded unless it is there already.

    Args:
        repo: such as `owner/name`.
        revision: a commit, so that the same files come every time; ``None`` for the newest.

    Raises:
        InputError: if the hub cannot be reached, there is no such repository or revision, or access is denied.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    local = "download it elsewhere and give its folder with --paris-dir"
    try:
        patterns = ["*.json", "*.safetensors", "*.txt"]  # never a pickle
        return Path(snapshot_download(repo, revision=revision, allow_patterns=patterns))
    except HFValidationError as error:
        raise InputError(f"{repo!r} is not the name of a repository (owner/name): {error}") from None
    except GatedRepoError:
        raise InputError(
            f"the repository {repo!r} is gated: ask for access on its page, log in with `hf auth login`, or {local}"
        ) from None
    except RevisionNotFoundError:
        raise InputError(
            f"the repository {repo!r} has no revision {revision!r}; give a commit or leave it out"
        ) from None
    except RepositoryNotFoundError:
        raise InputError(
            f"there is no repository {repo!r}, or it is private: check it, log in with `hf auth login`, or {local}"
        ) from None
    except LocalEntryNotFoundError:
        raise InputError(f"{repo!r} is not on this disk and the hub cannot be reached: go online, or {local}") from None
    except (HfHubHTTPError, OSError) as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(f"{repo!r} could not be downloaded ({first}); try again, or {local}") from None
