"""`vgg-classify serve` under load: `bench/run.py serve`.

200 clients on this machine send a digit as PNG, each the next one as soon as it has its answer. The rate of
the answers is compared with that of the kernel alone at the batch size that the server takes, just before
and just after; clients and server share the processor's cores with the kernel's threads. The drawing part
has one client that sends a drawing after the other, as the page does. Then the server's memory is watched
over many requests.

Results: a table for each part, and `artifacts/bench/serve.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import statistics
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Optional

import numpy as np
from engines import BENCH, MNIST, ROOT, WEIGHTS, Table, build, rounded, write_json
from extract import BATCHES, start_ours
from program import run

CLIENTS = 200
THREADS = 2
KERNEL_SECONDS = 5.0
DRAWING = json.dumps(
    {
        "strokes": [
            [[70 + 4 * i, 60] for i in range(30)] + [[190 - 2 * i, 60 + 5 * i] for i in range(35)]
        ]
    }
).encode()


def png(image: np.ndarray) -> bytes:
    """A gray image `[height, width]` as a PNG file."""
    height, width = image.shape

    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    rows = np.concatenate([np.zeros((height, 1), np.uint8), image], axis=1).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def digits(count: int) -> list[bytes]:
    """Test digits as PNG files."""
    pixels = (MNIST / "t10k-images-idx3-ubyte").read_bytes()[16:]
    images = np.frombuffer(pixels, np.uint8).reshape(-1, 28, 28)[:count]
    return [png(image) for image in images]


class Client(asyncio.Protocol):
    """A connection that sends a request as soon as the last one was answered."""

    def __init__(self, load: Load, number: int) -> None:
        self.load = load
        self.next = number
        self.buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.send()

    def send(self) -> None:
        """Send the next request."""
        if self.load.is_over():
            self.transport.close()
            return
        self.sent = time.perf_counter()
        self.transport.write(self.load.requests[self.next % len(self.load.requests)])
        self.next += 1

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self.buffer[:end]).lower()
        at = head.index(b"content-length: ") + len(b"content-length: ")
        length = int(head[at:].split(b"\r\n", 1)[0])
        if len(self.buffer) < end + 4 + length:
            return
        self.load.answered(time.perf_counter() - self.sent, head.startswith(b"http/1.1 200"))
        self.buffer.clear()
        self.send()

    def connection_lost(self, _: Optional[Exception]) -> None:
        self.load.closed()


class Load:
    """Clients that send requests for some time, or some number of them."""

    def __init__(self, requests: list[bytes], seconds: float, count: float = math.inf) -> None:
        self.requests = requests
        self.seconds = seconds
        self.count = count
        self.latencies: list[float] = []
        self.failed = 0

    def is_over(self) -> bool:
        """Whether no more requests are to be sent."""
        done = len(self.latencies) + self.failed
        return time.perf_counter() - self.started > self.seconds or done >= self.count

    def answered(self, seconds: float, good: bool) -> None:
        """Count an answer."""
        if good:
            self.latencies.append(seconds)
        else:
            self.failed += 1

    def closed(self) -> None:
        """Count a connection that has ended."""
        self.open -= 1
        if self.open == 0:
            self.ended.set_result(None)

    async def _send(self, port: int, clients: int) -> None:
        loop = asyncio.get_running_loop()
        self.ended = loop.create_future()
        self.open = clients
        self.started = time.perf_counter()
        for number in range(clients):
            await loop.create_connection(lambda n=number: Client(self, n), "127.0.0.1", port)
        await self.ended
        self.elapsed = time.perf_counter() - self.started

    def run(self, port: int, clients: int) -> Load:
        """Send the requests and wait for all answers."""
        asyncio.run(self._send(port, clients))
        return self

    def percentile(self, percent: float) -> float:
        """Milliseconds within which so many percent of the answers came."""
        return 1e3 * float(np.percentile(self.latencies, percent))


class Server:
    """The program, serving a run."""

    def __init__(self, executable: Path, model: Path) -> None:
        words = ["serve", "--port", 0, "--run", model, "--weights", WEIGHTS, "--threads", THREADS]
        log = (BENCH / "logs" / "serve.log").open("wb")
        command = [str(executable), *map(str, words)]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log)
        line = self.process.stdout.readline().decode().strip()
        if not line:
            sys.exit(f"error: {' '.join(command)} did not start; see {log.name}")
        self.port = int(line.rstrip("/").rsplit(":", 1)[1])

    def request(self, kind: str, body: bytes) -> bytes:
        """The bytes of a request to classify."""
        head = f"POST /classify HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\ncontent-type: {kind}\r\n"
        return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body

    def memory(self) -> float:
        """Resident memory in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        line = next(line for line in status if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024

    def close(self) -> None:
        """End it, as Ctrl-C does."""
        self.process.terminate()
        code = self.process.wait(30)
        if code != 0:
            sys.exit(f"error: the server ended with exit code {code}")


def trained(size: int) -> Path:
    """A run on some digits at a size."""
    words = ["--dataset", MNIST, "--weights", WEIGHTS, "--size", size, "--limit", 300]
    out = BENCH / "tmp" / "serving"
    extract = run(build("--bin", "vgg-extract"), "run", *words, "--out", out)
    words = ["--features", ROOT / extract.output.splitlines()[-1], "--epochs", 3, "--out", out]
    return ROOT / run(build("--bin", "vgg-head"), "train", *words).output.splitlines()[-1]


def bench_load(executable: Path, kernel: Path, sizes: list[int], seconds: float) -> list[dict]:
    """200 clients, and the kernel before and after."""
    table = Table(
        *("size", "batch", "clients", "requests", "failed", "requests/s", "kernel", "ratio"),
        *("p50 ms", "p99 ms", "peak MiB"),
    )
    results = []
    for size in sizes:
        engine = start_ours(kernel, "fast", size, BATCHES[size], THREADS)
        server = Server(executable, trained(size))
        requests = [server.request("image/png", digit) for digit in digits(1000)]
        Load(requests, 3.0).run(server.port, CLIENTS)
        rates = [engine.measure(KERNEL_SECONDS)]
        load = Load(requests, seconds).run(server.port, CLIENTS)
        rates.append(engine.measure(KERNEL_SECONDS))
        rate, bare = len(load.latencies) / load.elapsed, statistics.mean(rates)
        result = {
            "size": size,
            "batch": BATCHES[size],
            "threads": THREADS,
            "clients": CLIENTS,
            "seconds": rounded(load.elapsed),
            "requests": len(load.latencies),
            "failed": load.failed,
            "requests_per_s": rounded(rate),
            "kernel_images_per_s": rounded(bare),
            "ratio": rounded(rate / bare),
            "p50_ms": rounded(load.percentile(50)),
            "p99_ms": rounded(load.percentile(99)),
            "mib": round(server.memory()),
        }
        results.append(result)
        table.row(
            *(result[key] for key in ("size", "batch", "clients", "requests", "failed")),
            *(f"{result[key]:.1f}" for key in ("requests_per_s", "kernel_images_per_s")),
            f"{result['ratio']:.3f}",
            *(f"{result[key]:.1f}" for key in ("p50_ms", "p99_ms")),
            result["mib"],
        )
        server.close()
        engine.close()
    return results


def bench_drawing(executable: Path, sizes: list[int], count: int) -> list[dict]:
    """One client that draws."""
    table = Table("size", "drawings", "p50 ms", "p99 ms")
    results = []
    for size in sizes:
        server = Server(executable, trained(size))
        requests = [server.request("application/json", DRAWING)]
        Load(requests, 600.0, 20).run(server.port, 1)
        load = Load(requests, 600.0, count).run(server.port, 1)
        result = {
            "size": size,
            "threads": THREADS,
            "drawings": len(load.latencies),
            "p50_ms": rounded(load.percentile(50)),
            "p99_ms": rounded(load.percentile(99)),
        }
        results.append(result)
        table.row(size, count, f"{result['p50_ms']:.1f}", f"{result['p99_ms']:.1f}")
        server.close()
    return results


def bench_memory(executable: Path, count: int) -> dict:
    """The server's memory over many requests, at the smallest size, which has the most of them."""
    table = Table("requests", "failed", "MiB")
    server = Server(executable, trained(32))
    requests = [server.request("image/png", digit) for digit in digits(1000)]
    done, failed, samples = 0, 0, []
    while done < count:
        load = Load(requests, 600.0, count / 10).run(server.port, CLIENTS)
        done += len(load.latencies)
        failed += load.failed
        samples.append({"requests": done, "mib": rounded(server.memory())})
        table.row(done, failed, f"{samples[-1]['mib']:.1f}")
    server.close()
    growth = samples[-1]["mib"] - samples[0]["mib"]
    return {"failed": failed, "samples": samples, "growth_mib": rounded(growth)}


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=["load", "drawing", "memory", "all"], default="all")
    parser.add_argument("--sizes", type=int, nargs="+", choices=list(BATCHES), default=[64, 224])
    parser.add_argument("--seconds", type=float, default=60.0, help="of load at each size")
    parser.add_argument("--drawings", type=int, default=300)
    parser.add_argument("--requests", type=int, default=100_000, help="of the memory part")
    options = parser.parse_args()
    executable = build("--bin", "vgg-classify")
    path = BENCH / "serve.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    if options.part in ("load", "all"):
        kernel = build("--example", "bench")
        results["load"] = bench_load(executable, kernel, options.sizes, options.seconds)
        write_json(path, results)
    if options.part in ("drawing", "all"):
        results["drawing"] = bench_drawing(executable, [64], options.drawings)
        write_json(path, results)
    if options.part in ("memory", "all"):
        results["memory"] = bench_memory(executable, options.requests)
        write_json(path, results)


if __name__ == "__main__":
    main()
