"""Makes small image files in every form that users have, and their pixels by Pillow.

    python3 -m venv venv
    venv/bin/pip install -r requirements.txt
    apt-get install -y libjpeg-turbo-progs webp      # cjpeg, jpegtran 2.1.5; cwebp 1.2.4
    venv/bin/python make_corpus.py

Beside each FILE that Pillow reads stands FILE.ppm: the pixels of `Image.open(FILE).convert("RGB")`.
Of gray with 16 bits, which Pillow cuts off at 255, they are the numbers divided by 257 and
rounded. Of a form's `MISREAD`, which Pillow decodes to something else than they hold, they are
those of another file with the same picture. A file without a FILE.ppm is one that Pillow refuses;
each form's `REFUSED` says why. The same programs make the same bytes whenever this is run.
"""

import shutil
import warnings

import bmp
import common
import gif
import jpeg
import png
import pnm
import tiff
import webp

FORMS = {
    "jpeg": jpeg,
    "tiff": tiff,
    "png": png,
    "bmp": bmp,
    "gif": gif,
    "webp": webp,
    "pnm": pnm,
}


def write(form: str) -> tuple[int, int, int]:
    """The number of a form's files, of those that Pillow refuses, and of bytes, once written."""
    folder = common.HERE / form
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    module = FORMS[form]
    files = module.files()
    refused = {}
    for name, data in files.items():
        (folder / name).write_bytes(data)
        # The file that shows what this one holds.
        shown = module.MISREAD.get(name, name)
        try:
            pixels = common.pixels_by_pillow(files[shown], shown in module.SIXTEEN_BIT_GRAY)
        except Exception as error:  # Pillow has no one kind of error for what it cannot read.
            refused[name] = f"{type(error).__name__}: {error}"
        else:
            (folder / f"{name}.ppm").write_bytes(common.ppm(pixels))
    if refused.keys() != module.REFUSED.keys():
        raise AssertionError(f"{form}: refused {refused}, but not {module.REFUSED.keys()}")
    return len(files), len(refused), sum(path.stat().st_size for path in folder.iterdir())


def main() -> None:
    """Makes everything and prints how much it is."""
    warnings.simplefilter("ignore")  # Pillow warns of damage that it then passes over.
    rows = [(form, *write(form)) for form in FORMS]
    rows.append(("all", *(sum(row[column] for row in rows) for column in (1, 2, 3))))
    print(f"{'form':6}{'files':>7}{'refused':>9}{'bytes':>10}")
    for form, files, refused, size in rows:
        print(f"{form:6}{files:7}{refused:9}{size:10}")


if __name__ == "__main__":
    main()
