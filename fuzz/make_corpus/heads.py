"""Inputs of the parsers of runs, sweeps and cross-validations, and of tables that users write."""

import gzip
import json
import struct
import zipfile

from files import RECORD_SEPARATOR, npy, npz, safetensors, write


def runs() -> None:
    """Inputs of the parsers of runs and sweeps."""
    train = {
        "arch": "fastai", "hidden": 3, "p": 0.5, "epochs": 1, "batch_size": 2,
        "learning_rate": 0.001, "schedule": "constant", "seed": 0, "threads": 1,
    }  # fmt: skip
    last = {
        "epoch": 1, "train_loss": 0.7, "train_top1": 0.5, "val_loss": 0.6, "val_top1": 0.5,
        "learning_rate": 0.001, "seconds": 0.1,
    }  # fmt: skip

    def head(inputs: int, hidden: int, classes: int) -> bytes:
        tensors = {}
        for layer, width in [(1, inputs), (2, hidden)]:
            tensors |= {f"fc{layer}.weight": [hidden, width], f"fc{layer}.bias": [hidden]}
            for name in ["weight", "bias", "running_mean", "running_var"]:
                tensors[f"bn{layer}.{name}"] = [hidden]
        return safetensors(tensors | {"fc3.weight": [classes, hidden], "fc3.bias": [classes]})

    def run(shape: tuple[int, int, int], last: dict = last, file: bytes | None = None) -> bytes:
        inputs, hidden, classes = shape
        config = {
            "features": "SMALL", "features_key": "SMALL_KEY", "train": train,
            "shape": {"inputs": inputs, "hidden": hidden, "classes": classes},
        }  # fmt: skip
        table = ",".join(last) + "\n" + ",".join(str(value) for value in last.values()) + "\n"
        summary = {
            "last": last,
            "interrupted": False,
            "seconds_an_epoch": 0.1,
            "head_digest": "0" * 64,
        }
        parts = [json.dumps(config), table, json.dumps(summary)]
        whole = head(*shape) if file is None else file
        return RECORD_SEPARATOR.join(part.encode() for part in parts) + RECORD_SEPARATOR + whole

    whole = run((2, 3, 2))
    write("run/whole", whole)
    write("run/other-sizes", run((5, 3, 4)))
    write("run/announces-everything", run((2**62, 2**62, 2), file=head(2, 3, 2)))
    write("run/truncated", whole[:-1])
    extreme = last | {"epoch": 2**64 - 1, "train_loss": 1e308, "val_loss": -1e308, "seconds": 1e308}
    write("run/extreme-metrics", run((2, 3, 2), last=extreme))
    not_a_number = last | {"train_loss": "NaN", "val_loss": "inf", "val_top1": ""}
    table = ",".join(last) + "\n" + ",".join(str(value) for value in not_a_number.values()) + "\n"
    parts = whole.split(RECORD_SEPARATOR, 2)
    write("run/not-numbers", RECORD_SEPARATOR.join([parts[0], table.encode(), parts[2]]))

    def sweep(run_name: str, p: float = 0.5) -> bytes:
        setting = {"arch": "fastai", "hidden": 3, "p": p, "learning_rate": 0.001}
        result = setting | {
            "seed": 0, "epochs": 1, "train_loss": 0.7, "train_top1": 0.5, "val_loss": 0.6,
            "val_top1": 0.5, "run": run_name,
        }  # fmt: skip
        spread = {"mean": 0.5, "sd": 0.1, "seeds": 1}
        summary = {"setting": setting, "val": spread, "test": spread, "best_run": run_name}
        heads = [train | {"p": p}]
        config = {"features": "SMALL", "features_key": "SMALL_KEY", "heads": heads}
        table = ",".join(result) + "\n" + ",".join(str(value) for value in result.values()) + "\n"
        parts = [json.dumps(config), table, json.dumps(summary)]
        return RECORD_SEPARATOR.join(part.encode() for part in parts) + RECORD_SEPARATOR + whole

    write("sweep/whole", sweep("runs/a"))
    for name, run_name in [
        ("parent", "../a"),
        ("absolute", "/tmp"),
        ("itself", "."),
        ("nul", "a\0b"),
    ]:
        write(f"sweep/{name}", sweep(run_name))
    write("sweep/extreme", sweep("runs/a", p=1e308))
    parts = sweep("runs/a").split(RECORD_SEPARATOR)
    table = parts[1].split(b"\n")[0] + b"\n"
    write("sweep/no-results", RECORD_SEPARATOR.join([parts[0], table, *parts[2:]]))

    mistake = {"row": 3, "id": "3", "label": "a", "predicted": "b", "probability": 0.75}
    dataset = {
        "name": "digits", "path": "/nowhere", "digest": "", "val_fraction": 0.0, "limit": None,
        "seed": 0,
    }  # fmt: skip
    evaluation = {
        "format": {"major": 1, "minor": 3}, "split": "test", "rows": 4, "class_names": ["a", "b"],
        "confusion": [[1, 1], [0, 2]], "mistakes": [mistake],
        "manifest": json.dumps({"inputs": {"dataset": dataset}}),
    }  # fmt: skip
    for name, change in [
        ("whole", {}),
        ("whole-without-confusion", {"confusion": None}),
        ("not-square", {"confusion": [[4], []]}),
        ("huge-counts", {"confusion": [[2**64 - 1, 1], [0, 4]]}),
        ("row-outside", {"mistakes": [mistake | {"row": 2**64 - 1}]}),
        ("huge-rows", {"rows": 2**64 - 1, "confusion": None}),
        ("no-manifest", {"manifest": "\u0000<script>"}),
        ("many-mistakes", {"mistakes": [mistake] * 1000}),
    ]:
        write(f"evaluation/{name}", json.dumps(evaluation | change).encode())


def submissions() -> None:
    """Inputs of the parser of samples of submissions."""
    write("submission/whole", "id,label\n2,cat\n1,cat\n")
    write("submission/whole-probabilities", "id\tdog\tcat\n1.png\t0.5\t0.5\n")
    write("submission/whole-quoted", '\ufeffid,label\r\n"a,b.png",\r\n')
    write("submission/semicolons", "id;label\n1;cat\n")
    write("submission/other-id", "id,label\n1,cat\n7,cat\n")
    write("submission/other-class", "id,cat,mouse\n1,0,0\n")
    write("submission/ragged", "id,label\n1\n")
    write("submission/open-quote", 'id,label\n"1,cat\n2,cat\n')
    write("submission/not-utf-8", b"id,label\n\xff,cat\n")
    write("submission/columns", "," * 5000 + "\n")
    write("submission/no-rows", "id,label\n")


def calibrations() -> None:
    """Inputs of the parser of a run's temperature."""
    calibration = {
        "temperature": 1.5, "rows": 4, "log_loss_before": 0.7, "log_loss": 0.6,
        "head_digest": "0" * 64,
    }  # fmt: skip
    write("calibration/whole", json.dumps(calibration))
    for name, temperature in [("zero", 0), ("negative", -1), ("tiny", 1e-308), ("huge", 1e308)]:
        write(f"calibration/{name}", json.dumps(calibration | {"temperature": temperature}))
    write("calibration/text", json.dumps(calibration | {"temperature": "NaN"}))
    write("calibration/not-an-object", "[1.5]")


def cross_validations() -> None:
    """Inputs of the parser of cross-validations: configuration, results, summary and `oof.npz`."""
    config = {
        "features": "SMALL", "features_key": "SMALL_KEY", "recipe": {}, "taps": [],
        "numerics": "1", "folds": 2, "divisions": ["0" * 64], "heads": [],
    }  # fmt: skip
    names = "repeat,fold,rows,top1,top5,balanced_accuracy,macro_f1,log_loss,auroc,calibration_error"
    results = f"{names}\n1,1,2,1,,1,1,0.5,,0.1\n1,2,2,0.5,,0.5,0.5,0.7,0.5,0.1\n"
    summary = {
        "rows": 4, "measures": [{"name": "top1", "mean": 0.75, "sd": 0.35}], "oof_top1": 0.75,
        "label_sd": None, "oof_digest": "0" * 64,
    }  # fmt: skip

    def texts(*words: str) -> bytes:
        content = b"".join(word.ljust(3, "\0").encode("utf-32-le") for word in words)
        return npy("<U3", f"({len(words)},)", content)

    def numbers(kind: str, *values: float, shape: str = "(4,)") -> bytes:
        return npy(f"<{kind}8", shape, struct.pack(f"<4{ {'i': 'q', 'f': 'd'}[kind] }", *values))

    probabilities = npy("<f8", "(4, 2)", struct.pack("<8d", 0.9, 0.1, 0.4, 0.6, 0.2, 0.8, 0.5, 0.5))
    arrays = {
        "ids": texts("a", "b", "c", "d"), "class_names": texts("cat", "dog"),
        "rows": numbers("i", 0, 1, 2, 3), "labels": numbers("i", 0, 1, 0, 1),
        "probabilities": probabilities, "folds": numbers("i", 1, 1, 2, 2, shape="(4, 1)"),
        "label_sd": numbers("f", *[float("nan")] * 4),
    }  # fmt: skip

    def whole(method: int = zipfile.ZIP_STORED, config: dict = config, **changes: bytes) -> bytes:
        files = [json.dumps(config), results, json.dumps(summary)]
        files = [file.encode() for file in files] + [npz(method, **(arrays | changes))]
        return RECORD_SEPARATOR.join(files)

    write("cross_validation/whole", whole())
    write("cross_validation/compressed", whole(zipfile.ZIP_DEFLATED))
    write("cross_validation/truncated", whole()[:-40])
    write("cross_validation/no-folds", whole(config=config | {"folds": 0}))
    many = config | {"folds": 2**63, "divisions": ["0" * 64] * 2}
    write("cross_validation/many-folds", whole(config=many))
    not_numbers = struct.pack("<8d", *[float("nan")] * 4, 1e308, -1e308, 2, float("inf"))
    for name, change in [
        ("rows-fall", {"rows": numbers("i", 3, 2, 1, 0)}),
        ("row-outside", {"rows": numbers("i", 0, 1, 2, 2**40)}),
        ("row-negative", {"rows": numbers("i", -1, 1, 2, 3)}),
        ("label-outside", {"labels": numbers("i", 0, 1, 2, -1)}),
        ("not-numbers", {"probabilities": npy("<f8", "(4, 2)", not_numbers)}),
        ("other-classes", {"class_names": texts("cat", "cow")}),
        ("no-classes", {"class_names": npy("<U3", "(0,)", b""), "probabilities": b""}),
        ("many-classes", {"class_names": npy("<U1", f"({2**14},)", bytes(2**16))}),
        ("announces-everything", {"ids": npy("<U1", f"({2**62},)", b"")}),
        ("other-type", {"labels": npy("<f4", "(4,)", bytes(16))}),
    ]:
        write(f"cross_validation/{name}", whole(**change))


def tables() -> None:
    """Inputs of the parsers of tables that users write."""
    write("corrections/whole", "id,action,label\na,label,dog\nb,fine,\nd,drop,\n")
    write("corrections/quoted", 'label,why,action,id\ndog,"it, clearly,\nbarks",label,a\n')
    write("corrections/same-label", "id,action,label\na,label,cat\n")
    write("corrections/all-dropped", "id,action,label\na,drop,\nb,drop,\nc,drop,\nd,drop,\n")
    write("corrections/twice", "id,action,label\na,fine,\na,drop,\n")
    write("corrections/unknown", "id,action,label\ne,drop,\n")
    write("corrections/gzip", gzip.compress(b"id,action,label\na,drop,\n", mtime=0))
    write("corrections/bomb", gzip.compress(b"id,action,label\n" * 2**18, mtime=0))
    write("class_weights/whole", "class,weight\ncat,1\ndog,2.5\n")
    write("class_weights/missing", "class,weight\ncat,1\n")
    write("class_weights/not-a-number", "class,weight\ncat,NaN\ndog,inf\n")
    write("class_weights/huge", "class,weight\ncat,1e309\ndog,1e-309\n")
    write("class_weights/not-utf-8", b"class,weight\n\xff,1\n")
    write("groups/whole", "id,group\na,1\nb,1\nc,2\nd,2\nother,3\n")
    write("groups/missing", "id,group\na,1\n")
    write("groups/empty", "id,group\na,\n")
    write("groups/quote", 'id,group\n"a,1\n')
