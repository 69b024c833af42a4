"""A peer that runs the 13 convolutions of VGG16 on one batch, with the protocol of serve.py.

    peer_extract.py --engine pytorch --size 96 --batch 32 --threads 2 --features OUT.npy

The features of the batch are written before `ready`, so that the caller can check that all peers
compute the same features.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import vgg16
from serve import Work, repeat, serve


def pytorch(options: argparse.Namespace, inputs: np.ndarray) -> tuple[Work, np.ndarray]:
    """PyTorch in eager and inference mode, with channels-last tensors."""
    import torch

    torch.set_num_threads(options.threads)
    modules: list[torch.nn.Module] = []
    for layer in vgg16.layers(options.onnx):
        if layer is None:
            modules.append(torch.nn.MaxPool2d(2))
            continue
        weight, bias = (torch.from_numpy(array.copy()) for array in layer)
        convolution = torch.nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
        convolution.weight.data, convolution.bias.data = weight, bias
        modules += [convolution, torch.nn.ReLU(inplace=True)]
    network = torch.nn.Sequential(*modules).eval().to(memory_format=torch.channels_last)
    x = torch.from_numpy(inputs).contiguous(memory_format=torch.channels_last)

    def forward() -> torch.Tensor:
        with torch.inference_mode():
            return network(x)

    def step() -> int:
        forward()
        return len(inputs)

    return repeat(step), forward().contiguous().numpy()


def onnxruntime(options: argparse.Namespace, inputs: np.ndarray) -> tuple[Work, np.ndarray]:
    """ONNX Runtime's CPU provider with every graph optimisation."""
    import onnxruntime as ort

    settings = ort.SessionOptions()
    settings.intra_op_num_threads = options.threads
    settings.inter_op_num_threads = 1
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    # Waiting threads must not occupy a core while the next peer is measured.
    settings.add_session_config_entry("session.force_spinning_stop", "1")
    model = vgg16.truncated(options.onnx, options.batch, options.size).SerializeToString()
    session = ort.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: inputs}

    def step() -> int:
        session.run(None, feed)
        return len(inputs)

    return repeat(step), session.run(None, feed)[0]


def openvino(options: argparse.Namespace, inputs: np.ndarray) -> tuple[Work, np.ndarray]:
    """OpenVINO's CPU plugin, in its latency mode or its throughput mode."""
    import openvino as ov

    core = ov.Core()
    data = vgg16.truncated(options.onnx, options.batch, options.size).SerializeToString()
    throughput = options.engine == "openvino-throughput"
    settings = {
        "PERFORMANCE_HINT": "THROUGHPUT" if throughput else "LATENCY",
        "INFERENCE_NUM_THREADS": options.threads,
        # On processors with bfloat16 the plugin would use that by default.
        "INFERENCE_PRECISION_HINT": "f32",
    }
    compiled = core.compile_model(core.read_model(data), "CPU", settings)
    request = compiled.create_infer_request()
    request.set_input_tensor(ov.Tensor(inputs))
    request.infer()
    features = request.get_output_tensor().data.copy()
    if not throughput:

        def step() -> int:
            request.infer()
            return len(inputs)

        return repeat(step), features

    queue = ov.AsyncInferQueue(compiled)

    def work(seconds: float) -> float:
        batches = 0
        started = time.perf_counter()
        # Whole rounds over the streams, so that none of them is idle at the end.
        while time.perf_counter() - started < seconds or batches % len(queue):
            queue.start_async({0: inputs}, share_inputs=True)
            batches += 1
        queue.wait_all()
        return batches * len(inputs) / (time.perf_counter() - started)

    return work, features


ENGINES = {
    "pytorch": pytorch,
    "onnxruntime": onnxruntime,
    "openvino-latency": openvino,
    "openvino-throughput": openvino,
}


def main() -> None:
    """Load, warm up, and serve."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", choices=ENGINES, required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--onnx", type=Path, required=True)
    parser.add_argument("--mnist", type=Path, required=True)
    parser.add_argument("--features", type=Path, required=True)
    options = parser.parse_args()
    inputs = vgg16.digits(options.mnist, options.batch, options.size)
    work, features = ENGINES[options.engine](options, inputs)
    np.save(options.features, features)
    work(0.5)
    serve(work)


if __name__ == "__main__":
    main()
