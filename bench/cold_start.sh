#!/usr/bin/env bash
# Measures the time of `just demo` in a bare clone of a commit, without a target folder:
#
#     for commit in fe097c3 HEAD; do bench/cold_start.sh $commit; done
#
# The time begins with nothing compiled, imported, extracted or trained, and ends with the demo's table. It
# does not include cloning, `cargo fetch` and the downloads. These are the same for every commit and are
# copied from this checkout, where `just setup torch numpy` makes them: MNIST, VGG16's ONNX file, NumPy and
# libtorch, which not every commit needs.
set -euo pipefail
commit=$1
repository=$(cd "$(dirname "$0")/.." && pwd)
unset LIBTORCH CARGO_INCREMENTAL CARGO_TARGET_DIR CARGO_BUILD_JOBS

folder=$(mktemp -d "${TMPDIR:-/tmp}/cold-start-XXXXXX")
trap 'rm -rf "$folder"' EXIT
git clone --quiet "$repository" "$folder/clone"
cd "$folder/clone"
git checkout --quiet "$commit"
mkdir -p artifacts/weights data/mnist
cp "$repository"/data/mnist/*-ubyte data/mnist/
cp "$repository/artifacts/weights/vgg16-caffe.onnx" artifacts/weights/
cp -a "$repository/artifacts/venv" artifacts/
cp -aL "$repository/artifacts/libtorch" artifacts/
cargo fetch --locked --quiet
sync

started=$(date +%s)
just demo >"$folder/out" 2>"$folder/err" || { tail -20 "$folder/err" >&2; exit 1; }
ended=$(date +%s)
tail -12 "$folder/out"
echo "$(git rev-parse --short HEAD): just demo took $((ended - started)) s"
