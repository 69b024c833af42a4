"""Inputs of the parsers of weights."""

import json
import struct

from files import safetensors, write


def message(number: int, content: bytes) -> bytes:
    """A length-delimited field of protocol buffers."""
    length, rest = b"", len(content)
    while rest > 127:
        length += bytes([rest & 127 | 128])
        rest >>= 7
    return bytes([number << 3 | 2]) + length + bytes([rest]) + content


def weights() -> None:
    """Inputs of the parsers of weights."""
    tensor = {"features.0.bias": [64]}

    def record(family: str, minor: int = 0, **more: object) -> str:
        """The entry of a canonical file of version 2."""
        members = {"format": {"major": 2, "minor": minor}, "family": family, "digest": "0" * 64}
        return json.dumps(members | more, separators=(",", ":"))

    canonical = {"vgg16": record("caffe")}
    for name in ["weights", "safetensors_import"]:
        write(f"{name}/one-tensor", safetensors(tensor, canonical))
        write(f"{name}/no-family", safetensors(tensor))
        write(f"{name}/first-version", safetensors(tensor, {"vgg16": "caffe " + "0" * 64}))
        write(f"{name}/version-1.1", safetensors(tensor, {"vgg16": "1.1 caffe " + "0" * 64}))
        write(f"{name}/later-version", safetensors(tensor, {"vgg16": "4294967295.4294967295 x"}))
        later = {"vgg16": record("x", minor=2**32 - 1, more=[{}])}
        write(f"{name}/later-minor", safetensors(tensor, later))
        nested = {"vgg16": '{"format":' + '{"x":[' * 2_000}
        write(f"{name}/nested-entry", safetensors(tensor, nested))
        write(f"{name}/batch-norm", safetensors({"features.1.running_mean": [64]}, canonical))
        write(f"{name}/wrong-shape", safetensors({"features.0.weight": [2, 2]}, canonical))
        write(f"{name}/header-announces-everything", struct.pack("<Q", 2**64 - 1) + b"{}")
        write(f"{name}/header-announces-much", struct.pack("<Q", 99_000_000) + b"{}")
        nineteen = {"vgg19": record("torchvision")}
        write(f"{name}/another-network", safetensors(tensor, nineteen))
        write(f"{name}/two-networks", safetensors(tensor, canonical | nineteen))
        prefixes = ["student.features.", "teacher.features.", "teacher.", ""]
        numbers = [0, 3, 6, 8, 11, 13, 16, 18]
        names = [f"{prefix}{number}.weight" for prefix in prefixes for number in numbers]
        write(f"{name}/prefixes", safetensors({name: [0] for name in names}))
        entry = json.dumps(
            {"a": {"dtype": "F32", "shape": [2**63, 2**63], "data_offsets": [0, 4]}},
            separators=(",", ":"),
        )
        write(f"{name}/huge-shape", struct.pack("<Q", len(entry)) + entry.encode() + bytes(4))
    weight = message(1, b"\x40\x03\x03\x03") + b"\x10\x01" + message(8, b"w") + message(9, bytes(8))
    bias = b"\x08\x40\x10\x01" + message(8, b"b") + message(4, bytes(256))
    image = message(1, b"v") + message(2, message(1, message(2, message(1, b"\x08\xe0\x01") * 4)))

    def node(operator: bytes, inputs: list[bytes], output: bytes, **attributes: bytes) -> bytes:
        names = b"".join(message(1, name) for name in inputs) + message(2, output)
        values = [
            message(5, message(1, name.encode()) + value) for name, value in attributes.items()
        ]
        return message(1, names + message(4, operator) + b"".join(values))

    def chain(
        before: bytes = b"", weight: bytes = message(5, weight), norm: list[bytes] | None = None
    ) -> bytes:
        """VGG16's nodes, each convolution with the same two tensors, with BatchNorm for `norm`."""
        nodes, at = [before], b"v"
        for index in range(13):
            steps = [(b"Conv", {"pads": message(8, b"\1\1\1\1")}), (b"Relu", {})]
            if norm:
                steps.insert(1, (b"BatchNormalization", {"epsilon": b"\x15" + bytes(4)}))
            if index in (1, 3, 6, 9):
                two = message(8, b"\2\2")
                steps.append((b"MaxPool", {"kernel_shape": two, "strides": two}))
            for operator, attributes in steps:
                inputs = [at, b"w", b"b"] if operator == b"Conv" else [at]
                if operator == b"BatchNormalization":
                    inputs = [at, *norm]
                at += b"v"
                nodes.append(node(operator, inputs, at, **attributes))
        return message(7, b"".join(nodes) + weight + message(5, bias) + message(11, image))

    write("onnx_import/vgg16", chain())
    write("onnx_import/batch-norm", chain(norm=[b"b"] * 4))
    write("onnx_import/batch-norm-without-tensors", chain(norm=[b"v", b""]))
    write("onnx_import/two-graphs", chain() * 2)
    write("onnx_import/negative-side", chain().replace(b"\x40\x03\x03\x03", b"\xff" * 3 + b"\x7f"))
    write("onnx_import/cycle", chain(before=node(b"Identity", [b"v"], b"v")))
    write(
        "onnx_import/transposed-pad",
        chain(
            before=node(b"Pad", [b"u"], b"t", pads=message(8, b"\0\1\1\0\0\1\1\0"))
            + node(b"Transpose", [b"t"], b"v", perm=message(8, b"\0\3\1\2"))
        ),
    )
    far = message(8, b"\xff" * 9 + b"\1" + b"\x7f" * 7)
    write("onnx_import/far-axes", chain(before=node(b"Transpose", [b"u"], b"v", perm=far)))
    write("onnx_import/far-pads", chain(before=node(b"Pad", [b"u"], b"v", pads=far)))
    constant = node(b"Constant", [], b"w", value=message(5, b"\x08\x01\x10\x01"))
    write("onnx_import/constant", chain(before=constant, weight=b""))
    external = (
        weight + b"\x70\x01" + message(13, message(1, b"location") + message(2, b"/etc/passwd"))
    )
    write("onnx_import/external", chain(weight=message(5, external)))
    norm = node(b"BatchNormalization", [b"vv"], b"vv")
    write("onnx_import/defined-again", chain(before=norm))
    write("onnx_import/not-utf-8", chain().replace(b"Relu", b"\xffelu"))
    write("onnx_import/announces-everything", b"\x3a" + b"\xff" * 9 + b"\x01")
    write("onnx_import/truncated", chain()[:-1])
    write("onnx_import/group", b"\x3b" * 64)
