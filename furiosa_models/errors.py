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
├── HubError                  a hub refuses a request or cannot be reached (also a ValueError)
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
    """The catalog has no such artifact, or no such set of weights.

    Check the name of the weights (`furiosa-models desc MODEL` lists the sets of a model), and
    that a file exists where you say. Programs in int8 need calibrated weights: `quantize` makes
    them.
    """


class ArtifactCorrupted(ArtifactError):
    """Downloaded or stored bytes are not the published ones.

    The file was not used, and is not kept. Try again: a proxy or a full disk may have cut it.
    If it happens again, the source serves another file than the one that was published; choose
    another set of weights, or a mirror (`FURIOSA_MODELS_MIRROR`).
    """


class ArtifactUnavailable(ArtifactError):
    """None of an artifact's sources could deliver it.

    The message lists every source and why it failed. Check the network, proxies and the package
    index; without a network, `FURIOSA_MODELS_OFFLINE=1` says at once what is missing,
    `furiosa-models fetch` prepares a machine, and `furiosa-models doctor --offline MODEL`
    proves that it is ready.
    """


class CacheNotWritable(ArtifactUnavailable):
    """The cache folder cannot be written, or its disk is full.

    Set `FURIOSA_MODELS_CACHE_HOME` to a folder that can be written, or free space:
    `furiosa-models cache ls` and `cache prune`.
    """


class TransportNotFound(ArtifactUnavailable):
    """URIs of this kind are not supported.

    Check the beginning of the URI. `s3:`, `gs:` and `hf:` need the extra `remote`.
    """


class DescriptorError(FuriosaModelsError):
    """A descriptor (zoo.json, or artifacts.yaml of a registry) is malformed.

    The message names the entry and the field. `furiosa_models.registry.json_schema()` is the
    schema.
    """


class CodeNotTrusted(FuriosaModelsError):
    """A registry model needs to run code, and the user did not pass `trust_code=True`.

    Code of a registry runs with all your rights. Read it, and pass `trust_code=True` if you
    trust its author.
    """


class WeightsError(FuriosaModelsError):
    """A weights file cannot be read, or does not fit the network.

    `furiosa-models info FILE` shows what a file is. A checkpoint without a graph needs the
    class of its network: `YOLOv5s("best.pt")`.
    """


class TaskError(WeightsError):
    """A weights file contains a model for another task than that of the class.

    Open it with the class of its task, or with `ModelManager.get`, which finds it out.
    """


class LabelsError(FuriosaModelsError, ValueError):
    """Labels cannot be read, or their number differs from the network's number of classes.

    Pass `labels=` with as many names as the message says, in the order of the outputs; a
    background class may be left out.
    """


class ConfigurationError(FuriosaModelsError, ValueError, AssertionError):
    """A setting has a wrong value; Neural Compressor, whose settings they are, asserts them.

    The message lists what is valid.
    """


class ConversionError(FuriosaModelsError):
    """A model of a framework cannot be converted; the message names the operations.

    The message names the operations. Export the model to ONNX with its own framework, and open
    that.
    """


class DatasetError(FuriosaModelsError):
    """Labels of photos cannot be read, contradict each other, or do not fit the model.

    `furiosa-models check-data FOLDER` lists everything that is wrong with the data.
    """


class HubError(FuriosaModelsError, ValueError):
    """A hub refuses a request, cannot be reached, or answers something else than expected.

    Check the reference, the key (`FOCOOS_API_KEY`, `HF_TOKEN`), and that the hub can be
    reached. What was pulled before stays usable.

    Attributes:
        status: Status of its HTTP answer, or None if there was none.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class ModelNotFound(FuriosaModelsError, LookupError):
    """No model has that name.

    The message suggests similar names; `furiosa-models list` shows all. A file or folder is
    looked up in the current folder.
    """


class ImageError(FuriosaModelsError, ValueError):
    """An image cannot be read.

    The message names the photo and what is wrong with it. For many photos, `on_error="skip"`
    goes on with the others.
    """


class ShapeError(FuriosaModelsError, ValueError):
    """A tensor, or a list of them, has the wrong count, shape or dtype.

    The message has the expected and the given shape. For a network of your own, `furiosa-models
    info` shows its inputs and outputs; `head=` and `input=` say what the graph does not.
    """


class BackendUnavailable(FuriosaModelsError):
    """The requested runtime or native module is not available.

    The message has the reason and the pip command; `furiosa-models doctor` shows all backends.
    `device="cpu"` works on every machine.
    """


class TrainingError(FuriosaModelsError):
    """A training run cannot start, continue or converge.

    A run that exists is continued with `resume=True`, or gets another name. A loss that is not
    finite asks for a lower learning rate, or for data without wrong boxes (`check-data`).
    """


class CompilationError(FuriosaModelsError):
    """The NPU's compiler could not compile a model; the message contains its output.

    The message has the output of the compiler. `FURIOSA_MODELS_COMPILE_TIMEOUT` gives it more
    time.
    """


class ExtraRequired(FuriosaModelsError, ImportError):
    """An optional dependency is missing; the message contains the pip command.

    The message has the pip command.
    """


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
