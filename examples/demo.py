"""Detect objects in the example photos, print the results and draw them into out/."""

from pathlib import Path

from furiosa_models.vision import EfficientNetLite0, SSDMobileNetV2

photos = sorted(Path("examples/images").glob("*.[jp][pn]g"))
output = Path("out")
output.mkdir(exist_ok=True)

detector = SSDMobileNetV2()
print("\nSSDMobileNetV2")
for photo, detections in zip(photos, detector.predict(photos), strict=True):
    drawn = detections.save(output / f"{photo.stem}.jpg")
    print(f"  {photo.name:18} {detections!r} -> {drawn}")
print(f"  weights: {detector.weights}")

classifier = EfficientNetLite0()
print("\nEfficientNetLite0")
for photo, classes in zip(photos, classifier.predict(photos), strict=True):
    print(f"  {photo.name:18} " + ", ".join(f"{c.label} {c.score:.2f}" for c in classes.top))
print(f"  weights: {classifier.weights}")
