"""Types of descriptor entries, under the names of furiosa-registry 0.5."""

from __future__ import annotations

from ..enums import Format
from ..spec import Metadata, Publication
from ..spec import Metadata as ModelMetadata
from .descriptor import RegistryArtifact as Artifact

__all__ = ["Artifact", "Format", "Metadata", "ModelMetadata", "Publication"]
