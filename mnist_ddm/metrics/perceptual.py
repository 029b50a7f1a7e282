"""LPIPS with its real trunks (Zhang et al. 2018), for those who have the files.

The linear heads come with the `lpips` package; a trunk is a file of torchvision's that is looked for in torch's hub
folder, downloaded if there is a network, and always checked by hash before a number is called LPIPS.
"""

from functools import cache
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from mnist_ddm.core.measures import Distance
from mnist_ddm.metrics.pretrained import Pretrained, load_weights

MINIMUM_SIDE: Final = {"alex": 32, "squeeze": 28, "vgg": 28}
"""Smaller images are enlarged to this side (bilinear): the trunk's pooling needs it."""


TRUNKS: Final = {
    "alex": Pretrained("alexnet-owt-7be5be79.pth"),
    "squeeze": Pretrained("squeezenet1_1-b8a52dc0.pth"),
    "vgg": Pretrained("vgg16-397923af.pth"),
}


def trunk_file(name: str, *, download: bool = True) -> Path:
    """The checked file of a trunk.

    Raises:
        InputError: if it is not there and cannot be fetched, or if its hash is wrong.
    """
    return TRUNKS[name].fetch(
        f"LPIPS with {name}", "the distance that comes with the system (leave --distance out)", download=download
    )


def lpips_distance(name: str, device: str | torch.device = "cpu") -> Distance:
    """LPIPS v0.1 with the trunk `alex`, `squeeze` or `vgg`, on images ``(B, C, H, W)`` in ``[0, 1]``; C is 1 or 3.

    The trunk is loaded when the distance is first used.

    Raises:
        InputError: on first use, if the trunk's file is missing or damaged.
    """

    @cache
    def model() -> nn.Module:
        return build_lpips(name, trunk_file(name)).to(device)

    def distance(a: Tensor, b: Tensor) -> Tensor:
        with torch.no_grad():
            out: Tensor = model()(_prepare(a, name), _prepare(b, name))
        return out.flatten()

    return Distance(f"lpips-{name}", distance)


def build_lpips(name: str, trunk: Path | None) -> nn.Module:
    """The LPIPS network; with ``trunk=None`` its trunk has random weights from a fixed seed (for tests).

    A trunk's file is read with torch's restricted unpickler.
    """
    import warnings

    import lpips

    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision's notes on deprecated arguments that lpips uses
        torch.manual_seed(0)
        model: nn.Module = lpips.LPIPS(net=name, pnet_rand=True, verbose=False)
    if trunk is not None:
        weights = load_weights(trunk)
        network = model.get_submodule("net")
        # lpips cuts torchvision's `features.N...` into slices and keeps N: `sliceS.N...`.
        network.load_state_dict({key: weights[f"features.{key.split('.', 1)[1]}"] for key in network.state_dict()})
    return model.eval().requires_grad_(False)


def _prepare(images: Tensor, name: str) -> Tensor:
    images = images * 2 - 1
    side = max(MINIMUM_SIDE[name], *images.shape[-2:])
    if images.shape[-2:] != (side, side):
        images = functional.interpolate(images, size=(side, side), mode="bilinear", align_corners=False)
    return images.expand(-1, 3, -1, -1)
