"""Detect objects in the example photos, print the results and draw them into out/."""

from pathlib import Path

from furiosa_models.vision import EfficientNetB0, SSDMobileNet, SSDMobileNetV2

photos = sorted(Path("examples/images").glob("*.[jp][pn]g"))
output = Path("out")
output.mkdir(exist_ok=True)

for model in (SSDMobileNet(), SSDMobileNetV2()):
    print(f"\n{type(model).__name__}")
    for photo, detections in zip(photos, model.predict(photos), strict=True):
        drawn = detections.save(output / f"{photo.stem}_{type(model).__name__}.jpg")
        print(f"  {photo.name:18} {detections!r} -> {drawn}")
    print(f"  weights: {model.weights}")

classifier = EfficientNetB0()
print("\nEfficientNetB0")
for photo, classes in zip(photos, classifier.predict(photos), strict=True):
    print(f"  {photo.name:18} " + ", ".join(f"{c.label} {c.score:.2f}" for c in classes.top))
print(f"  weights: {classifier.weights}")
