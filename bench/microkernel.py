"""The register blocks of the products by themselves: `bench/run.py microkernel`.

Each block of each instruction set that this machine has multiplies a piece of a panel, whose
operands are in the first-level cache, on one thread. Multiply-adds in registers alone are measured
in turn with it, and their rate is the peak. A share is the median over the rounds.

"instructions" are those of the block's innermost loop for one input channel, as disassembled from
the program that was measured, and "indexed" those of its multiply-adds whose memory operand has an
index register. Intel's processors split such an operand into two operations.

Results: a table and `artifacts/bench/microkernel.json`.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
from pathlib import Path
from typing import NamedTuple

from engines import BENCH, Table, build, rounded, write_json

# Input channels in one turn of the innermost loop (`UNROLL` in kernel/microkernel.rs).
UNROLL = 4
# Vectors of a panel of sixteen channels.
VECTORS = {"avx2": 2, "avx512": 1}

ENTRY = re.compile(r"^[0-9a-f]+ <winograd::kernel::isa::(\w+)::block_entry.*>:$")
INSTRUCTION = re.compile(r"^\s*([0-9a-f]+):\s+(\S+)\s*(.*)$")
INDEXED = re.compile(r"\(%\w+,%\w+")


class Loop(NamedTuple):
    """An innermost loop: its instructions, multiply-adds, and those with an index register."""

    instructions: int
    multiply_adds: int
    indexed: int


def loop_of(lines: list[tuple[int, str, str]]) -> Loop | None:
    """The loop with the most multiply-adds among those that have no other loop in them."""
    addresses = {address: index for index, (address, _, _) in enumerate(lines)}
    loops = []
    for index, (_, mnemonic, operands) in enumerate(lines):
        target = re.match(r"([0-9a-f]+) ", operands)
        if not mnemonic.startswith("j") or not target:
            continue
        start = addresses.get(int(target.group(1), 16))
        if start is not None and start <= index:
            loops.append((start, index))
    innermost = [
        (start, end)
        for start, end in loops
        if not any((s, e) != (start, end) and start <= s and e <= end for s, e in loops)
    ]
    found = []
    for start, end in innermost:
        body = lines[start : end + 1]
        fused = [operands for _, mnemonic, operands in body if mnemonic.startswith("vfmadd")]
        indexed = sum(bool(INDEXED.search(operands)) for operands in fused)
        found.append(Loop(len(body), len(fused), indexed))
    return max(found, key=lambda loop: loop.multiply_adds, default=None)


def loops(program: Path) -> dict[tuple[str, int], Loop]:
    """The innermost loops of the blocks, by instruction set and number of tiles."""
    if shutil.which("objdump") is None:
        print("objdump is missing, so no instructions are counted (Debian: apt install binutils)")
        return {}
    command = ["objdump", "--disassemble", "--demangle", "--no-show-raw-insn", str(program)]
    text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[tuple[str, int], Loop] = {}
    for function in text.split("\n\n"):
        head, *body = function.split("\n")
        entry = ENTRY.match(head)
        if not entry or entry.group(1) not in VECTORS:
            continue
        matches = [match for line in body if (match := INSTRUCTION.match(line))]
        lines = [(int(match.group(1), 16), match.group(2), match.group(3)) for match in matches]
        isa, loop = entry.group(1), loop_of(lines)
        if loop:
            found[isa, loop.multiply_adds // UNROLL // VECTORS[isa]] = loop
    return found


def main() -> None:
    """Parse the command line, measure all blocks and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--milliseconds", type=int, default=50, help="of a block in a round")
    options = parser.parse_args()
    program = build("--example", "microkernel")
    words = ["--rounds", str(options.rounds), "--milliseconds", str(options.milliseconds)]
    run = subprocess.run([program, *words], check=True, stdout=subprocess.PIPE, text=True)
    blocks = [json.loads(line) for line in run.stdout.splitlines()]
    counted = loops(program)
    table = Table(
        *("set", "tiles", "channels", "GFLOP/s", "peak", "share", "lowest", "highest"),
        *("instructions", "indexed"),
    )
    for block in blocks:
        shares = [flops / peak for flops, peak in zip(block["flops"], block["peak"], strict=True)]
        block["share"] = rounded(statistics.median(shares))
        loop = counted.get((block["isa"], block["rows"]))
        if loop:
            block["instructions"] = loop.instructions / UNROLL
            block["indexed"] = loop.indexed / UNROLL
        table.row(
            *(block["isa"], str(block["rows"]) + ("*" if block["preferred"] else "")),
            str(block["channels"]),
            *(f"{statistics.median(block[name]) / 1e9:.1f}" for name in ("flops", "peak")),
            *(f"{value:.3f}" for value in (block["share"], min(shares), max(shares))),
            *(f"{block[name]:.2f}" if loop else "" for name in ("instructions", "indexed")),
        )
    print("* the block into which many tiles are divided")
    write_json(BENCH / "microkernel.json", {"rounds": options.rounds, "blocks": blocks})


if __name__ == "__main__":
    main()
