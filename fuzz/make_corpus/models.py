"""Inputs of the parser of the model file."""

import json

from files import safetensors, write


def models() -> None:
    """Inputs of the parser of the model file. It signs them. The smallest network has 37 MB, so none is whole."""
    recipe = {
        "network": "vgg11", "weights": {"digest": "0" * 64, "family": "caffe-rgb"},
        "image": {
            "height": 32, "width": 32, "fit": "stretch", "resize": "bilinear",
            "orientation": "ignore",
        },
        "taps": ["conv1_1:avg"], "numerics": "winograd3-fast", "dtype": "float32",
    }  # fmt: skip
    record = {
        "format": {"major": 1, "minor": 0}, "recipe": recipe, "taps": ["conv1_1:avg"],
        "class_names": ["a", "b"], "heads": 1,
        "shape": {"inputs": 64, "hidden": 3, "classes": 2},
    }  # fmt: skip

    def model(tensors: dict[str, list[int]], **changes: object) -> bytes:
        entry = {"digest": "0" * 64, "record": record | changes}
        text = json.dumps(entry, separators=(",", ":"))
        return safetensors(tensors, {"vgg-classify": text})

    first = {"features.0.weight": [64, 3, 3, 3], "features.0.bias": [64]}
    write("model/no-tensors", model({}))
    write("model/first-layer", model(first))
    write("model/wrong-shape", model({"features.0.weight": [64, 27]}))
    write("model/newer-major", model({}, format={"major": 5, "minor": 0}))
    write("model/newer-minor", model({}, format={"major": 1, "minor": 2**32 - 1}, more=[{}]))
    write("model/no-heads", model({}, heads=0))
    write("model/most-heads", model(first, heads=2**64 - 1))
    write("model/huge-shape", model({}, shape={"inputs": 2**62, "hidden": 2**62, "classes": 2}))
    write("model/empty-shape", model({}, shape={"inputs": 0, "hidden": 0, "classes": 0}))
    write("model/other-network", model({}, recipe=recipe | {"network": "alexnet"}))
    write("model/other-taps", model({}, taps=["pool5"], recipe=recipe | {"taps": []}))
    image = recipe["image"] | {"height": 2**63, "width": 2**63}
    write("model/huge-image", model({}, recipe=recipe | {"image": image}))
    write("model/hostile-names", model({}, class_names=["\u0000\u001b[2J", "../x"]))
    write("model/no-record", safetensors({}, {"vgg-classify": "{}"}))
    write("model/no-entry", safetensors({}, {"other": "{}"}))
    write("model/weights", safetensors(first))
    write("model/truncated", model(first)[:-1])
    # Format 4: each head has taps and a shape.
    linear = {"taps": ["conv1_1:avg"], "shape": {"inputs": 64, "hidden": [], "classes": 2}}
    hidden = {"taps": ["conv1_1:avg"], "shape": {"inputs": 64, "hidden": 3, "classes": 2}}
    del record["taps"], record["shape"]

    def each(heads: list[object], **changes: object) -> bytes:
        return model({}, format={"major": 4, "minor": 0}, heads=heads, **changes)

    write("model/each-head", each([linear, hidden]))
    write("model/each-of-none", each([]))
    write("model/each-without-taps", each([hidden | {"taps": []}]))
    write("model/each-tap-twice", each([linear | {"taps": ["conv1_1:avg"] * 2}]))
    write("model/many-taps", each([linear], recipe=recipe | {"taps": ["conv1_1:avg"] * 129}))
