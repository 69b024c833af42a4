# The tasks of the project. `just RECIPE key=value …` passes each key=value on as --key=value.

set positional-arguments

# The list of recipes
[private]
default:
    @just --list --unsorted

# Fetch MNIST and VGG16's weights, or check those that are there; with the words torch, cuda, numpy, page, browser or cells also these
setup *more:
    @cd scripts && python3 -m setup "$@"
    @scripts/run vgg-extract import-weights artifacts/weights/vgg16-caffe.onnx family=caffe

# Set-up if something is missing; digests are not checked, so that it takes no time
[private]
ready:
    @test -e artifacts/weights/vgg16-caffe.safetensors -a -e data/mnist/train-images-idx3-ubyte || just setup

# Run the whole pipeline on a few thousand digits; prints a table of results
demo: setup
    @python3 scripts/demo.py

# Show what a dataset holds and everything that would stop an extraction (PATH form= …)
inspect-dataset *flags: ready
    @scripts/run vgg-extract inspect-dataset "$@"

# Stage 1: run the images through VGG16 once; prints the cache's folder (size= limit= dtype= views= test-views= backend= …)
extract *flags: ready
    @scripts/run vgg-extract run "$@"

# The features of a cache in the other layout (FOLDER layout=csr|dense out=); prints the new cache's folder
convert *flags: ready
    @scripts/run vgg-extract convert "$@"

# The features of a cache as one file for other tools (features= format=npz|parquet|safetensors pool=avg|max|flatten to=)
export-features *flags: ready
    @scripts/run vgg-extract export-features "$@"

# Stage 2: train one head on cached features (p= epochs= arch= lr= schedule= weight-decay= mixup= keep= pseudo= teacher= …)
train-head *flags: ready
    @scripts/run vgg-head train "$@"

# Train many heads in few passes: every combination of lists (p=0,0.4,0.8 seeds=3 arch=fastai,keras,lesson7 lr= schedule= weight-decay= mixup= …)
sweep *flags: ready
    @scripts/run vgg-head sweep "$@"

# Classify by nearest neighbours, without training (k= --test …)
knn *flags: ready
    @scripts/run vgg-head knn "$@"

# Classify by ridge regression, without training in steps (alpha= --test …)
ridge *flags: ready
    @scripts/run vgg-head ridge "$@"

# Find the highest learning rate with which a head still learns, and plot the loss against it (arch= hidden= p= …)
lr-find *flags: ready
    @scripts/run vgg-head lr-find "$@"

# Cross-validate heads on the training split: probabilities of every training image by heads that did not see it (folds= repeats= group= p= …)
cv *flags: ready
    @scripts/run vgg-head cv "$@"

# List training images with probably wrong labels, outliers and near duplicates, and make the page to correct them on (cv=)
issues *flags: ready
    @scripts/run vgg-head issues "$@"

# Write a sweep's plots and report again (sweep=)
report *flags: ready
    @scripts/run vgg-head report "$@"

# Print accuracy and other measures with their intervals, and the confusion matrix, on the test split or another (run= sweep= split= tta=)
evaluate *flags: ready
    @scripts/run vgg-head evaluate "$@"

# Average several runs; print how they do together (RUN … average=probabilities|logits split=)
ensemble *flags: ready
    @scripts/run vgg-head ensemble "$@"

# Write a Kaggle submission (run= sweep= split= sample= out=)
predict *flags: ready
    @scripts/run vgg-head predict "$@"

# Stage 3: print the most probable classes of images (FILE|FOLDER|CSV … run= sweep= model= format= …)
classify *flags: ready
    @scripts/run vgg-classify run "$@"

# Write a trained head with all that it needs as one file (run= out= format=safetensors|onnx …)
export *flags: ready
    @scripts/run vgg-classify export "$@"

# Serve a model as a page to draw digits and drop images on, and to programs (run= sweep= model= port= bind= …)
serve *flags: ready
    @scripts/run vgg-classify serve "$@"

# Make a weights file from another program's, or list the forms that can be read (FILE family= …)
import-weights *flags: ready
    @scripts/run vgg-extract import-weights "$@"

# List the caches, finished and unfinished
status *flags: ready
    @scripts/run vgg-extract status "$@"

# Check every digest of a cache (features=)
verify *flags: ready
    @scripts/run vgg-extract verify "$@"

# Show what a cache holds and what it was made from (features=)
inspect *flags: ready
    @scripts/run vgg-extract inspect "$@"

# List what may be removed: unfinished caches, and those that no run refers to; --yes removes them
gc *flags: ready
    @scripts/run vgg-extract gc "$@"

# Measure side by side with the peers: extract, head and training, or only one of these, or microkernel, photos, serve, accuracy, few-shot or ingredients
bench *part: (setup "torch")
    python3 bench/run.py "$@"

# Run all tests, including those that compare with libtorch
test: (setup "torch" "numpy" "page" "browser")
    python3 -m unittest discover --start-directory scripts --pattern 'test_*.py'
    cargo build --workspace --bins
    PROGRAMS_ARE_BUILT=1 cargo test --workspace
    cargo test --workspace --features torch --lib -- torch numerics
    cargo build --workspace --bins --features torch
    PROGRAMS_ARE_BUILT=1 cargo test --workspace --features torch --test libtorch --test parity --test pipeline \
        --test weights
    cargo run --quiet --package winograd --example accuracy -- --sizes 32,40,48,64,33x75 --images 1

# Kill each program at 100 moments and at every call that changes files; then train for an hour and watch memory
torture: (setup "numpy")
    TORTURE=100 cargo test --workspace --test crash -- --nocapture --test-threads=1
    SOAK=3600 OMP_NUM_THREADS=1 RAYON_NUM_THREADS=1 cargo test --workspace --test soak -- --nocapture \
        2> artifacts/soak.log || { tail artifacts/soak.log; exit 1; }

# Fuzz every parser of a foreign file, or one of them (seconds= target=)
fuzz *flags: setup
    @scripts/fuzz "$@"

# Compile the crate winograd for 64-bit Arm and run its tests in an emulator, all or those with these names
arm *names:
    @scripts/arm "$@"

# Check format, lints, unused dependencies, tests and documentation, as must be green before a commit
ci: (setup "torch" "numpy" "page" "browser")
    cargo fmt --all --check
    command -v cargo-machete >/dev/null || cargo install cargo-machete --locked
    cargo machete
    cargo clippy --workspace --all-targets -- --deny warnings
    cargo clippy --workspace --all-targets --features torch -- --deny warnings
    just test
    just fresh
    RUSTDOCFLAGS='--deny warnings' cargo doc --workspace --no-deps

# Check that a second build compiles nothing, so that every recipe starts at once
[private]
fresh:
    #!/usr/bin/env bash
    set -euo pipefail
    build() {
        for features in '' --features=torch; do
            cargo build "$1" --workspace $features
            cargo build "$1" --bin vgg-extract $features
            cargo build "$1" --bin vgg-head $features
            cargo build "$1" --bin vgg-classify $features
        done
    }
    build --quiet
    if build --verbose 2>&1 | grep -E '^ *(Dirty|Compiling) '; then
        echo 'error: a second build compiled these again' >&2
        exit 1
    fi
