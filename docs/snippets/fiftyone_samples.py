"""Samples with embeddings for fiftyone: python fiftyone_samples.py FEATURES.safetensors"""

import json
import sys

import numpy as np
from safetensors import safe_open

with safe_open(sys.argv[1], framework="numpy") as file:
    names, splits = (json.loads(file.metadata()[key]) for key in ("class_names", "split_names"))
    embeddings = file.get_tensor("features")
    labels, split, ids = (file.get_tensor(key) for key in ("labels", "splits", "ids"))
ids = np.char.decode(np.ascontiguousarray(ids).view(f"S{ids.shape[1]}").ravel(), "utf-8")

samples = [
    {"id": str(name), "label": names[label] if label >= 0 else None, "tags": [splits[index]]}
    for name, label, index in zip(ids, labels, split)
]
print(f"{len(samples)} samples, embeddings {embeddings.shape}; the first: {samples[0]}")

try:
    import fiftyone as fo
    import fiftyone.brain as fob
except ImportError:
    print("fiftyone, which would show them, is not installed")
else:
    dataset = fo.Dataset()
    for sample in samples:
        label = sample["label"] and fo.Classification(label=sample["label"])
        dataset.add_sample(fo.Sample(sample["id"], tags=sample["tags"], ground_truth=label))
    fob.compute_visualization(dataset, embeddings=embeddings, brain_key="vgg")
    fo.launch_app(dataset).wait()
