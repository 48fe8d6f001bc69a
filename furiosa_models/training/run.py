"""A training run of a model: from its weights and labeled photos to trained weights."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..data.augment import Augmenter, get_default_by_task
from ..data.checks import check_dataset
from ..data.classes import check_same_classes
from ..data.records import LabeledPhotos
from ..errors import ConfigurationError, ConversionError, DatasetError, WeightsError
from ..frameworks.checkpoints import READERS
from ..heads.classification import ClassificationHead
from ..heads.matte import MatteHead
from ..heads.semantic import SemanticHead
from ..heads.ssd import SSDHead
from ..labels import BACKGROUNDS, table_of
from ..networks import read_weights
from ..networks.checkpoint_params import state_of
from ..networks.writers import to_pytorch
from ..output import replace_file
from ..saved import STATE, SavedParts
from ..spec import Head, ModelSpec
from ..weights import Weights, WeightSet
from .args import TrainerArgs
from .batches import Augment
from .checkpoints import Checkpoints
from .losses.table import Loss, loss_of, takes_auxiliary
from .processes import Processes
from .records import DATA_REPORT, files_of, recorded_seed
from .reports import Report
from .trainable import Trainable, match_classes, trainable_of
from .trainer import Job, Network, Trained, Trainer

__all__ = ["save_run", "train"]


def train(
    weights: Weights,
    with_weights: Callable[[Weights], Network],
    args: TrainerArgs,
    photos: LabeledPhotos,
    val: LabeledPhotos,
    *,
    loss: Loss | None = None,
    augment: Augment | None = None,
    class_sources: Mapping[str, str | Sequence[str]] = MappingProxyType({}),
    report: Report | None = None,
) -> tuple[Trained, Weights]:
    """Train the network of a model; return the result, and the trained weights.

    Args:
        weights: Weights of the model.
        with_weights: Returns a copy of the model with other weights.
        args: Arguments of the run.
        photos: Photos to train on. Their classes become those of the network; a class that the
            network has already keeps its weights.
        val: Photos to evaluate on, with the same classes.
        loss: What is minimized; by default the loss of the head.
        augment: Changes training photos; by default, the arguments' augmentations, or those of the
            task.
        class_sources: Names of old classes that a new class starts from, by its name.
        report: Report of the run to a hub.

    Raises:
        ConfigurationError: No loss is known for the head.
        ConversionError: An operation has no PyTorch form, or the classes cannot be replaced.
        DatasetError: The photos are for another task, the classes of both sets differ, or a
            semantic network would have a single class.
        LabelsError: A name in `class_sources` is unknown.
        TrainingError: The run exists already, cannot be resumed, or does not converge.
        ValueError: An argument does not fit the machine or the data.
    """
    given: object = loss
    if given is not None and not callable(given):
        msg = f"loss must be a function of outputs, targets and size, got {loss!r}"
        raise ConfigurationError(msg)
    _check_data(photos, val, with_weights(weights))
    args = _seeded(args)
    spec = weights.spec
    _check_size(args, spec)
    trainable, table = _with_classes(weights, spec, photos, class_sources)
    if args.init_checkpoint is not None:
        trainable = _from_checkpoint(trainable, args.init_checkpoint, spec)
    head = _trained_head(spec.head)
    started = _weights_of(weights, trainable, spec, head, table, args.run_name)
    network = with_weights(started)
    fitted = started.spec.head
    if augment is None and args.augmentations is not False:
        settings = args.augmentations or get_default_by_task(photos.task, spec.input.size)[0]
        augment = Augmenter(settings, args.seed, keypoints=photos.keypoints)
    minimized = loss or loss_of(fitted)
    if not takes_auxiliary(minimized):
        trainable = trainable.without_auxiliary()
    job = Job(network, trainable, minimized, photos, val, augment)
    trainer = Trainer(job, args, report)
    if trainer.is_first and not args.resume:
        _report_problems(args, photos, val)
    trained = trainer.run()
    made = _weights_of(weights, trained.trainable, spec, fitted, table, args.run_name)
    return trained, made


def save_run(args: TrainerArgs, trained: Trained, parts: SavedParts) -> None:
    """Write the trained model into the folder of its run, beside the records."""
    folder, checkpoint = trained.folder, trained.trainable.checkpoint
    arrays = trained.trainable.arrays() if checkpoint is None else checkpoint.arrays
    facts = {
        **parts.facts,
        "name": args.run_name,
        "status": "TRAINING_COMPLETED",
        "train_args": args.to_dict(),
        "val_metrics": trained.figures,
    }
    files = replace(parts, facts=facts).files()
    files.setdefault(STATE, to_pytorch(arrays))  # a graph of the user has no checkpoint
    for name, data in files.items():
        replace_file(folder / name, data)
    Checkpoints(folder, 1).finish()


def _check_data(photos: LabeledPhotos, val: LabeledPhotos, network: Network) -> None:
    """Check that labels are for the task of the model, and that both sets have the same classes."""
    task = network.vision_task.task
    for part, name in ((photos, "training"), (val, "validation")):
        if not len(part):
            msg = f"the {name} set {part.source} contains no photo"
            raise DatasetError(msg)
        if task is not None and part.task != task:
            msg = (
                f"the {name} set {part.source} is for {part.task.value}, the model for {task.value}"
            )
            raise DatasetError(msg)
        if all(p.class_id is None and not p.objects and p.mask is None for p in part):
            msg = f"no photo of the {name} set {part.source} has a label"
            raise DatasetError(msg)
    check_same_classes(photos, val)


def _report_problems(args: TrainerArgs, photos: LabeledPhotos, val: LabeledPhotos) -> None:
    """Write what is wrong with the data into the folder of the run, and warn of errors.

    Errors do not stop the run: a few wrong boxes among thousands do little harm.
    """
    if files_of(args.folder):
        return  # the folder of another run, which `Trainer.run` rejects
    report = check_dataset(photos, None if val is photos else val)
    replace_file(args.folder / DATA_REPORT, f"{report}\n".encode())
    if report.errors:
        found = "; ".join(str(problem) for problem in report.errors[:3])
        msg = f"the data set has errors, see {args.folder / DATA_REPORT}: {found}"
        warnings.warn(msg, stacklevel=4)


def _seeded(args: TrainerArgs) -> TrainerArgs:
    """Return the arguments with a random seed if they ask for one: a resumed run keeps its own."""
    if args.seed >= 0:
        return args
    seed = recorded_seed(args.folder) if args.resume else Processes.of(args).agreed_seed()
    return replace(args, seed=seed)


def _check_size(args: TrainerArgs, spec: ModelSpec) -> None:
    divisor = args.size_divisibility
    if divisor and any(side % divisor for side in spec.input.size):
        height, width = spec.input.size
        msg = f"the input, {height} x {width}, is not a multiple of size_divisibility, {divisor}"
        raise ValueError(msg)


def _with_classes(
    weights: Weights,
    spec: ModelSpec,
    photos: LabeledPhotos,
    given: Mapping[str, str | Sequence[str]],
) -> tuple[Trainable, tuple[str, ...]]:
    """Return the network with the classes of a data set, and its table of labels."""
    old = table_of(spec.labels)
    new = _table(spec.head, old, photos)
    trainable = trainable_of(weights.origin, weights.checkpoint()).with_auxiliary()
    if trainable.network is None and _trained_head(spec.head) is not spec.head:
        msg = "the graph ends in ArgMax, which has no gradient: train it without, up to its logits"
        raise ConversionError(msg)
    if new == old:
        return trainable, old
    return trainable.with_classes(_trained_head(spec.head), match_classes(old, new, given)), new


def _table(head: Head, old: tuple[str, ...], photos: LabeledPhotos) -> tuple[str, ...]:
    """Return the table of labels of a model with a head that is trained on photos.

    Raises:
        DatasetError: A single class is left to choose from.
    """
    if isinstance(head, MatteHead):  # whatever the classes: one of them, or all, is in front
        return old
    new = tuple(photos.classes)
    background = old[0] if old and old[0] in BACKGROUNDS else "background"
    has_background = isinstance(head, SSDHead)
    if isinstance(head, SemanticHead):  # the background is what no object covers
        has_background = old[:1] == (background,) and any(photo.objects for photo in photos)
    table = (background, *new) if has_background and BACKGROUNDS.isdisjoint(new[:1]) else new
    if isinstance(head, SemanticHead) and len(table) < 2:  # its softmax is constant
        msg = (
            f"a semantic network chooses between two or more classes, but {photos.source} has only "
            f"{', '.join(table) or 'none'}, and the model no background. If the labels are "
            "outlines, name the first class of the model for what they do not cover, "
            f"labels=['background', ...]; or train a MatteEstimator"
        )
        raise DatasetError(msg)
    return table


def _from_checkpoint(trainable: Trainable, path: Any, spec: ModelSpec) -> Trainable:
    """Return the network with the arrays of a checkpoint file.

    Raises:
        ConfigurationError: There is no such file, or none of its arrays is of this network.
        WeightsError: It cannot be read.
    """
    file = Path(path)
    if not file.is_file():
        msg = f"init_checkpoint must be a file, but there is none at {str(file)!r}"
        raise ConfigurationError(msg)
    reader = READERS.get(file.suffix.lower())
    if reader is None:
        msg = f"init_checkpoint must be one of {', '.join(READERS)}, got {file.name!r}"
        raise ConfigurationError(msg)
    layout = spec.network.layout if spec.network else "native"
    own = trainable.arrays()
    try:
        arrays = read_weights(reader, {file.name: file.read_bytes()}, layout)
    except WeightsError as error:
        msg = f"init_checkpoint {file} cannot be read: {error}"
        raise WeightsError(msg) from error
    found = state_of(arrays, trainable.learned or own)
    fitting = {
        name: array.astype(own[name].dtype)
        for name, array in found.items()
        if name in own and own[name].shape == array.shape
    }
    if not fitting:
        msg = f"{file} has none of the {len(own)} arrays of this network"
        raise ConfigurationError(msg)
    return trainable.with_arrays(fitting)


def _trained_head(head: Head) -> Head:
    """Return the head of the network that trains, which has logits even if it ends in ArgMax."""
    if isinstance(head, ClassificationHead) and head.activation == "argmax":
        return replace(head, activation="softmax", offset=0)
    return head


def _weights_of(
    weights: Weights,
    trainable: Trainable,
    spec: ModelSpec,
    head: Head,
    table: tuple[str, ...],
    name: str,
) -> Weights:
    """Return trained weights as those of a model."""
    made = WeightSet(
        name,
        trainable.program(),
        names=table,
        head=head,
        input=spec.input,
        checkpoint=trainable.checkpoint,
        info=weights.resolve().provenance,
    )
    declared = weights.declared_spec.network
    return Weights(weights.model, made, ModelSpec(declared, spec.input, head, table))
