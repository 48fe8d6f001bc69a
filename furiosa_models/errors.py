"""Every exception that this package raises on purpose.

```
FuriosaModelsError
├── ArtifactError
│   ├── ArtifactNotFound      the catalog has no such artifact
│   ├── ArtifactCorrupted     the bytes are not the ones that were published
│   └── ArtifactUnavailable   no source could deliver it
│       ├── CacheNotWritable      the cache cannot take it
│       └── TransportNotFound     nothing here knows such URIs
├── DescriptorError           a descriptor (zoo.json, artifacts.yaml) is malformed
├── CodeNotTrusted            a registry would run code that the user did not allow
├── LabelsError               labels do not fit the network's classes (also a ValueError)
├── WeightsError              a weights file cannot be read, or does not fit the network
├── ModelNotFound             no model of that name (also a LookupError)
├── ImageError                an image cannot be read (also a ValueError)
├── ShapeError                a tensor of the wrong count, shape or dtype (also a ValueError)
├── BackendUnavailable        the requested runtime or native module is missing
├── CompilationError          the NPU's compiler could not compile a model
└── ExtraRequired             an optional dependency is missing (also an ImportError)
```

Every message says what is wrong, what was expected and what was got, and what to do.
"""

from __future__ import annotations

__all__ = [
    "ArtifactCorrupted",
    "ArtifactError",
    "ArtifactNotFound",
    "ArtifactUnavailable",
    "BackendUnavailable",
    "CacheNotWritable",
    "CodeNotTrusted",
    "CompilationError",
    "DescriptorError",
    "ExtraRequired",
    "FuriosaModelsError",
    "ImageError",
    "LabelsError",
    "ModelNotFound",
    "ShapeError",
    "TransportNotFound",
    "WeightsError",
    "WeightsFallbackWarning",
]


class FuriosaModelsError(Exception):
    """Base of every error of this package."""


class ArtifactError(FuriosaModelsError):
    """An artifact could not be had."""


class ArtifactNotFound(ArtifactError):
    """The catalog has no such artifact, or no such set of weights."""


class ArtifactCorrupted(ArtifactError):
    """Bytes that were delivered or stored are not the ones that were published."""


class ArtifactUnavailable(ArtifactError):
    """None of an artifact's sources could deliver it."""


class CacheNotWritable(ArtifactUnavailable):
    """The cache folder cannot be written, or its disk is full."""


class TransportNotFound(ArtifactUnavailable):
    """Nothing here knows URIs of that kind."""


class DescriptorError(FuriosaModelsError):
    """A descriptor (zoo.json, or artifacts.yaml of a registry) is malformed."""


class CodeNotTrusted(FuriosaModelsError):
    """A model of a registry is made by code, and the user did not pass `trust_code=True`."""


class WeightsError(FuriosaModelsError):
    """A weights file cannot be read, or does not fit the network."""


class LabelsError(FuriosaModelsError, ValueError):
    """The number of labels is not the number of the network's classes, or they cannot be read."""


class ModelNotFound(FuriosaModelsError, LookupError):
    """No model has that name."""


class ImageError(FuriosaModelsError, ValueError):
    """An image cannot be read."""


class ShapeError(FuriosaModelsError, ValueError):
    """A tensor, or a list of them, has the wrong count, shape or dtype."""


class BackendUnavailable(FuriosaModelsError):
    """The runtime or native module that was asked for is not available."""


class CompilationError(FuriosaModelsError):
    """The NPU's compiler could not compile a model; the message holds what it said."""


class ExtraRequired(FuriosaModelsError, ImportError):
    """An optional dependency is missing; the message holds the pip command."""


class WeightsFallbackWarning(UserWarning):
    """The published weights are out of reach and another named set is in use."""


# Names of 0.8 to 0.10. Theirs are raised where these are, except for VersionInfoNotFound: that a
# machine has no compiler is no error here.
FuriosaModelException = FuriosaModelsError
NotFoundInDVCRemote = ArtifactUnavailable
VersionInfoNotFound = BackendUnavailable
ExtraPackageRequired = ExtraRequired
