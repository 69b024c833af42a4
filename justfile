# Every task of the project. `just RECIPE key=value …` passes each key=value on as --key=value.

set positional-arguments

# What there is to do
[private]
default:
    @just --list --unsorted

# libtorch, MNIST and VGG16's weights into artifacts/ and data/; a no-op when they are there
setup:
    @python3 scripts/setup.py
    @scripts/run vgg-extract import-weights artifacts/weights/vgg16-caffe.onnx family=caffe

# The whole pipeline on a few thousand digits, ending with a table of results
demo: setup
    @python3 scripts/demo.py

# Stage 1: run the images through VGG16 once; prints the cache's folder (size= limit= dtype= …)
extract *flags: setup
    @scripts/run vgg-extract run "$@"

# Stage 2: train one head on cached features (p= epochs= arch= lr= …)
train-head *flags:
    @scripts/run vgg-head train "$@"

# Accuracy, confusion matrix, precision and recall on the test split (run=)
evaluate *flags:
    @scripts/run vgg-head evaluate "$@"

# A Kaggle submission (run= split= out=)
predict *flags:
    @scripts/run vgg-head predict "$@"

# The caches, finished and unfinished
status *flags:
    @scripts/run vgg-extract status "$@"

# Check every digest of a cache (features=)
verify *flags:
    @scripts/run vgg-extract verify "$@"

# Side by side with the peers: all of it, or one of extract, head, parity
bench *part: setup
    python3 bench/run.py "$@"

# All tests
test: setup
    python3 -m unittest discover --start-directory scripts --pattern 'test_*.py'
    cargo test --workspace

# Format, lints, tests, documentation: what must be green before a commit
ci: setup
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- --deny warnings
    just test
    RUSTDOCFLAGS='--deny warnings' cargo doc --workspace --no-deps
