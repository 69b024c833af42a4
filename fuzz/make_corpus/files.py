"""Files of the corpus, and formats that several parsers read."""

import io
import json
import struct
import zipfile
from pathlib import Path

FUZZ = Path(__file__).parent.parent
CORPUS = FUZZ / "corpus"
DATASET_TESTS = FUZZ.parent / "crates" / "dataset" / "tests"
RECORD_SEPARATOR = b"\x1e"


def write(name: str, content: bytes | str) -> None:
    """Write one input of the corpus."""
    path = CORPUS / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def idx(magic: int, dimensions: list[int], content: bytes) -> bytes:
    """An IDX file whose header has these dimensions."""
    return struct.pack(f">{1 + len(dimensions)}I", magic, *dimensions) + content


def npy(descriptor: str, shape: tuple[int, ...], content: bytes, version: int = 1) -> bytes:
    """A `.npy` file."""
    header = f"{{'descr': '{descriptor}', 'fortran_order': False, 'shape': {shape}, }}"
    length = "<H" if version == 1 else "<I"
    start = 8 + struct.calcsize(length)
    header = header.ljust(-(-(start + len(header) + 1) // 64) * 64 - start - 1) + "\n"
    return (
        b"\x93NUMPY"
        + bytes([version, 0])
        + struct.pack(length, len(header))
        + header.encode()
        + content
    )


def npz(method: int, **arrays: bytes) -> bytes:
    """A `.npz` file whose entries are compressed by this method of `zipfile`."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), array, method)
    return file.getvalue()


def safetensors(tensors: dict[str, list[int]], metadata: dict[str, str] | None = None) -> bytes:
    """A safetensors file with these shapes, all numbers 0.5."""
    header, offset = {}, 0
    if metadata:
        header["__metadata__"] = metadata
    for name, shape in tensors.items():
        size = 4
        for side in shape:
            size *= side
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text + struct.pack("<f", 0.5) * (offset // 4)
