"""U-2-Net (Qin et al. 2020, arXiv:2005.09007)."""

from __future__ import annotations

from ..catalog import register
from ..heads import MatteHead
from ..spec import ImageInput, ModelSpec, NetworkSpec
from ..task_models import MatteEstimator

__all__ = ["U2NetP"]


@register
class U2NetP(MatteEstimator):
    spec = ModelSpec(
        NetworkSpec("u2net", {"variant": "p"}),
        ImageInput(size=(320, 320)),  # the graph divides by the brightest value
        MatteHead(size=(320, 320), normalize=True),
        labels="foreground",
    )
