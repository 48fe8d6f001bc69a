"""Labels of ImageNet, under the import path of furiosa-models 0.8 to 0.10."""

from __future__ import annotations

from ....labels import load_labels

__all__ = ["ImageNet1k_CLASSES"]

ImageNet1k_CLASSES = list(load_labels("imagenet1k"))
"""Labels of the 1000 classes of ILSVRC-2012, in the order of the networks' outputs."""
