"""Run an ONNX model on inputs: `python -c SCRIPT MODEL < inputs > outputs`.

Standard input has batches, one after another: a line of JSON, {name: [dtype, shape]}, and the bytes of
these arrays in this order. Standard output is JSON: the version of ONNX Runtime, and for each batch
the output "probabilities".

Exit code 3: ONNX Runtime is not there, or too old for the model; standard error says so.
"""

import sys

# Python puts the working directory on the path. Modules are not to come from there.
sys.path = [folder for folder in sys.path if folder]

import json  # noqa: E402

NEEDED = (1, 14)  # The first version with the operators of version 18.


def unable(reason: str) -> None:
    """End, since there is no ONNX Runtime that can run the model."""
    print(f"{sys.executable}: {reason}", file=sys.stderr)
    sys.exit(3)


try:
    import numpy
    import onnxruntime
except Exception as error:  # Also what a broken installation raises.
    unable(str(error))

version = onnxruntime.__version__
if tuple(int(number) for number in version.split(".")[:2]) < NEEDED:
    unable(f"onnxruntime {version} is older than {NEEDED[0]}.{NEEDED[1]}")

with open(sys.argv[1], "rb") as file:
    model = file.read()
try:
    import onnx
except Exception:
    pass  # ONNX Runtime checks models, too, though less strictly.
else:
    if onnx.defs.onnx_opset_version() >= 18:
        onnx.checker.check_model(model, full_check=True)
options = onnxruntime.SessionOptions()
options.log_severity_level = 3
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
probabilities = []
while line := sys.stdin.buffer.readline():
    inputs = {}
    for name, (dtype, shape) in json.loads(line).items():
        size = numpy.dtype(dtype).itemsize * int(numpy.prod(shape))
        numbers = numpy.frombuffer(sys.stdin.buffer.read(size), dtype)
        inputs[name] = numbers.reshape(shape)
    [output] = session.run(["probabilities"], inputs)
    # JSON has no NaN. -1 is not a probability either.
    probabilities.append(numpy.nan_to_num(output, nan=-1.0).tolist())
json.dump({"version": version, "probabilities": probabilities}, sys.stdout)
