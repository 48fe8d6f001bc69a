"""All exceptions that this package defines.

```
FuriosaModelsError
├── ArtifactError
│   ├── ArtifactNotFound      the catalog has no such artifact
│   ├── ArtifactCorrupted     the bytes are not the published ones
│   └── ArtifactUnavailable   no source could deliver it
│       ├── CacheNotWritable      the cache cannot be written
│       └── TransportNotFound     URIs of this kind are not supported
├── DescriptorError           a descriptor (zoo.json, artifacts.yaml) is malformed
├── CodeNotTrusted            a registry model needs code that the user did not allow to run
├── LabelsError               labels do not fit the network's classes (also a ValueError)
├── WeightsError              a weights file cannot be read, or does not fit the network
│   └── TaskError                 it is a model for another task
├── ConfigurationError        a setting has a wrong value (also a ValueError and AssertionError)
├── ConversionError           a model of a framework cannot be converted to another form
├── DatasetError              labeled photos cannot be read, or do not fit together
├── ModelNotFound             no model has that name (also a LookupError)
├── ImageError                an image cannot be read (also a ValueError)
├── ShapeError                tensors have the wrong count, shape or dtype (also a ValueError)
├── BackendUnavailable        the requested runtime or native module is missing
├── TrainingError             a training run cannot start, continue or converge
├── CompilationError          the NPU's compiler could not compile a model
└── ExtraRequired             an optional dependency is missing (also an ImportError)
```

Every message says what is wrong, what was expected and what was found, and what to do.
"""

from __future__ import annotations

__all__ = [
    "ArtifactCorrupted",
    "ArtifactError",
    "ArtifactNotFound",
    "ArtifactUnavailable",
    "BackendUnavailable",
    "CacheNotWritable",
    "CalibrationWarning",
    "CodeNotTrusted",
    "CompilationError",
    "ConfigurationError",
    "ConversionError",
    "DatasetError",
    "DescriptorError",
    "ExtraRequired",
    "FuriosaModelsError",
    "HubError",
    "ImageError",
    "LabelsError",
    "ModelNotFound",
    "ShapeError",
    "TaskError",
    "TrainingError",
    "TransportNotFound",
    "WeightsError",
    "WeightsFallbackWarning",
]


class FuriosaModelsError(Exception):
    """Base class of all errors of this package."""


class ArtifactError(FuriosaModelsError):
    """An artifact is not available."""


class ArtifactNotFound(ArtifactError):
    """The catalog has no such artifact, or no such set of weights."""


class ArtifactCorrupted(ArtifactError):
    """Downloaded or stored bytes are not the published ones."""


class ArtifactUnavailable(ArtifactError):
    """None of an artifact's sources could deliver it."""


class CacheNotWritable(ArtifactUnavailable):
    """The cache folder cannot be written, or its disk is full."""


class TransportNotFound(ArtifactUnavailable):
    """URIs of this kind are not supported."""


class DescriptorError(FuriosaModelsError):
    """A descriptor (zoo.json, or artifacts.yaml of a registry) is malformed."""


class CodeNotTrusted(FuriosaModelsError):
    """A registry model needs to run code, and the user did not pass `trust_code=True`."""


class WeightsError(FuriosaModelsError):
    """A weights file cannot be read, or does not fit the network."""


class TaskError(WeightsError):
    """A weights file contains a model for another task than that of the class."""


class LabelsError(FuriosaModelsError, ValueError):
    """Labels cannot be read, or their number differs from the network's number of classes."""


class ConfigurationError(FuriosaModelsError, ValueError, AssertionError):
    """A setting has a wrong value; Neural Compressor, whose settings they are, asserts them."""


class ConversionError(FuriosaModelsError):
    """A model of a framework cannot be converted; the message names the operations."""


class DatasetError(FuriosaModelsError):
    """Labels of photos cannot be read, contradict each other, or do not fit the model."""


class HubError(FuriosaModelsError, ValueError):
    """A hub refuses a request, cannot be reached, or answers something else than expected.

    Attributes:
        status: Status of its HTTP answer, or None if there was none.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class ModelNotFound(FuriosaModelsError, LookupError):
    """No model has that name."""


class ImageError(FuriosaModelsError, ValueError):
    """An image cannot be read."""


class ShapeError(FuriosaModelsError, ValueError):
    """A tensor, or a list of them, has the wrong count, shape or dtype."""


class BackendUnavailable(FuriosaModelsError):
    """The requested runtime or native module is not available."""


class TrainingError(FuriosaModelsError):
    """A training run cannot start, continue or converge."""


class CompilationError(FuriosaModelsError):
    """The NPU's compiler could not compile a model; the message contains its output."""


class ExtraRequired(FuriosaModelsError, ImportError):
    """An optional dependency is missing; the message contains the pip command."""


class CalibrationWarning(UserWarning):
    """There is no calibration data, so that only weights are quantized."""


class WeightsFallbackWarning(UserWarning):
    """The published weights are unreachable and another named set is in use."""


# Names of 0.8 to 0.10. They cover the same cases, except for VersionInfoNotFound: a machine without
# a compiler is not an error here.
FuriosaModelException = FuriosaModelsError
NotFoundInDVCRemote = ArtifactUnavailable
VersionInfoNotFound = BackendUnavailable
ExtraPackageRequired = ExtraRequired
