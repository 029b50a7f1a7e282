"""What a sample is asked to be."""

from dataclasses import dataclass, replace

from torch import Tensor

from mnist_ddm.compute.devices import sent


@dataclass(frozen=True)
class Condition:
    """What each sample of a batch is asked to be.

    Attributes:
        cluster: the cluster that the sample is wanted from, int64, shape ``(B,)``. It never reaches an expert: only
            the `label` routing reads it.
        captions: one text for each sample, or empty where a system has no text.
        guidance: the scale of classifier-free guidance; 1 is none.
    """

    cluster: Tensor
    captions: tuple[str, ...] = ()
    guidance: float = 1.0

    def select(self, index: Tensor) -> "Condition":
        """The condition of the samples at ``index`` (int64, any length)."""
        captions = tuple(self.captions[int(i)] for i in index) if self.captions else ()
        return replace(self, cluster=self.cluster[sent(index, self.cluster.device)], captions=captions)
