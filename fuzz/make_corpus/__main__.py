"""Make the inputs that fuzzing starts from: tiny valid files and known hostile ones.

    python3 fuzz/make_corpus

The script writes the same bytes every time. It needs only Python's standard library, which has no
BLAKE3, so it does not make `corpus/manifest/whole*.json`. These are manifests of the small caches of
`tests/hostile-input/src/cache.rs`, as written by this version in either layout, by versions 1.0, 1.1
and 2.0, and as another program might write a later minor version. The files `whole*` of
`corpus/metadata_parquet/` are made with pyarrow, by `crates/dataset/tests/forms/make_files.py`.
"""

from caches import caches, pooled
from datasets import datasets
from heads import calibrations, cross_validations, runs, submissions, tables
from images import images
from models import models
from parquet import parquet
from requests import requests
from weights import weights

datasets()
parquet()
images()
caches()
pooled()
weights()
models()
requests()
runs()
calibrations()
cross_validations()
submissions()
tables()
