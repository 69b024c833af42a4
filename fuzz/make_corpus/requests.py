"""Inputs of the parsers of requests to the server."""

import json

from files import RECORD_SEPARATOR, write


def requests() -> None:
    """Bodies of requests to the server."""
    for name, strokes in [
        ("whole", [[[10, 10], [20, 40.5], [10, 70]], [[30, 10], [30, 70]]]),
        ("dot", [[[5, 5]]]),
        ("dots-in-one-place", [[[5, 5]], [[5, 5], [5, 5]]]),
        ("wide", [[[-1e6, 0], [1e6, 1e-30]]]),
        ("too-far", [[[0, 0], [1e30, 0]]]),
        ("nothing", []),
        ("empty-stroke", [[]]),
        ("one-coordinate", [[[1]]]),
        ("most-points", [[[i % 97, i % 89] for i in range(8192)]]),
        ("too-many-points", [[[0, 0]] * 8193]),
    ]:
        write(f"drawing/{name}.json", json.dumps({"strokes": strokes}).encode())
    write("drawing/not-finite.json", b'{"strokes": [[[1e39, 1]]]}')
    write("drawing/deep.json", b'{"strokes": ' + b"[" * 10_000)

    def infer(input: dict[str, object], tensors: bytes = b"", **more: object) -> bytes:
        images = {"name": "images", "datatype": "UINT8", "shape": [1, 1, 2, 3]} | input
        return json.dumps({"inputs": [images]} | more).encode() + RECORD_SEPARATOR + tensors

    flat = {"data": [0, 1, 2, 253, 254, 255]}
    binary = {"parameters": {"binary_data_size": 6}}
    wanted = [{"name": "logits", "parameters": {"binary_data": True}}]
    for name, body in [
        ("whole-flat", infer(flat, id="7")),
        ("whole-nested", infer({"data": [[[[0, 1, 2], [253, 254, 255]]]]})),
        ("whole-binary", infer(binary, b"pixels", outputs=wanted)),
        ("whole-gray", infer({"shape": [1, 2, 3]} | flat)),
        ("too-few-bytes", infer(binary, b"pixel")),
        ("both", infer(flat | binary, b"pixels")),
        ("neither", infer({})),
        ("huge-shape", infer({"shape": [2**63, 2**63, 2**63, 3]} | flat)),
        ("shape-that-overflows", infer({"shape": [1024, 65535, 65535, 3]} | flat)),
        ("no-images", infer({"shape": [0, 1, 2, 3], "data": []})),
        ("other-type", infer({"datatype": "FP32"} | flat)),
        ("not-bytes", infer({"data": [0, 1, 2, 3, 4, 256]})),
        ("fractions", infer({"data": [0, 1, 2, 3, 4, 0.5]})),
        ("other-output", infer(flat, outputs=[{"name": "labels"}])),
        (
            "shared-memory",
            infer(flat, outputs=[{"name": "logits", "parameters": {"shared_memory_region": "x"}}]),
        ),
        ("no-inputs", b'{"inputs": []}'),
        (
            "deep",
            b'{"inputs": [{"name": "images", "datatype": "UINT8", "shape": [1], "data": '
            + b"[" * 10_000,
        ),
    ]:
        write(f"infer/{name}", body)
