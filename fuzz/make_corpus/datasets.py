"""Inputs of the parsers of datasets' files, except for images and Parquet files."""

import gzip
import io
import struct
import tarfile
import zipfile

from files import DATASET_TESTS, idx, npz, write

FORMS = DATASET_TESTS / "forms"


def datasets() -> None:
    """Inputs of the parsers of datasets' files, except for images."""
    images = idx(0x803, [2, 2, 2], bytes(range(8)))
    labels = idx(0x801, [2], bytes([0, 1]))
    for name, whole in [("idx_images", images), ("idx_labels", labels)]:
        write(f"{name}/whole", whole)
        write(f"{name}/whole.gz", gzip.compress(whole, mtime=0))
        write(f"{name}/truncated", whole[:-1])
        write(f"{name}/truncated.gz", gzip.compress(whole, mtime=0)[:-9])
        write(f"{name}/header-only", whole[:6])
    huge = 2**32 - 1
    write("idx_images/announces-everything", idx(0x803, [huge, huge, huge], b"0"))
    write(
        "idx_images/announces-everything.gz", gzip.compress(idx(0x803, [huge] * 3, b"0"), mtime=0)
    )
    write("idx_images/flat", idx(0x803, [2, 0, huge], b""))
    bomb = idx(0x803, [8, 1024, 1024], bytes(8 << 20))
    write("idx_images/bomb.gz", gzip.compress(bomb, mtime=0))
    write("idx_labels/announces-everything", idx(0x801, [huge], b"0"))
    write("idx_labels/class-255", idx(0x801, [2], bytes([0, 255])))
    header = "label,pixel0,pixel1,pixel2,pixel3\n"
    write("kaggle_csv/whole", header + "3,0,1,2,3\n7,4,5,6,255\n3,0,0,0,0\n")
    write(
        "kaggle_csv/carriage-returns", header.replace("\n", "\r\n") + "3,0,1,2,3\r\n7,4,5,6,7\r\n"
    )
    compressed = gzip.compress((header + "3,0,1,2,3\n7,4,5,6,255\n").encode(), mtime=0)
    write("kaggle_csv/whole-compressed", compressed)
    bomb = gzip.compress((header + "3,0,1,2,3\n" * 500_000).encode(), mtime=0)
    write("kaggle_csv/bomb-compressed", bomb)
    spaced = "pixel1 ; Label;pixel2;pixel3;pixel4\n\n1 ;3; 2;3;4\r\n\r\n2;3;3;3;3\n"
    write("kaggle_csv/whole-spaced", spaced)
    write("kaggle_csv/quotes", header + '"3","0",1,2,3\n"7\n",4,5,6,7\n')
    write("kaggle_csv/open-quote", header + '3,0,1,2,"3\n7,4,5,6,7\n')
    write("kaggle_csv/ragged", header + "3,0,1,2\n7,4,5,6,7,8\n")
    write("kaggle_csv/not-utf-8", header.encode() + b"3,0,\xff,2,3\n")
    write("kaggle_csv/large-label", header + "2147483647,0,1,2,3\n-1,4,5,6,7\n")
    write("kaggle_csv/no-rows", header)
    header = "path,label,split\n"
    whole = header + "a.png,cat,train\nb.png,dog,train\nc d.png,cat,val\nfolder/e.png,,test\n"
    write("image_list/whole", whole)
    write("image_list/whole-without-splits", "label,file\n2,a.png\n10,b.png\n2,folder/e.png\n")
    windows = whole.replace("\n", "\r\n").replace("folder/e", ".\\folder\\e")
    write("image_list/whole-from-windows", "\ufeff" + windows)
    write(
        "image_list/whole-quoted", header + '"a.png","cat, ""big""",train\n"b.png","d\nog",TRAIN\n'
    )
    write("image_list/twice", header + "a.png,cat,train\n./a.png,dog,train\n")
    write("image_list/missing", header + "a.png,cat,train\n../../../etc/x.png,cat,train\n")
    write("image_list/device", header + "/dev/zero,cat,train\n")
    write("image_list/folder", header + "folder,cat,train\n")
    write("image_list/nul", header + "a.png\0,cat,train\n")
    write("image_list/unknown-class", header + "a.png,cat,train\nb.png,dog,val\n")
    write("image_list/unknown-split", header + "a.png,cat,holdout\n")
    write("image_list/no-label", header + "a.png,,train\n")
    write("image_list/some-labels", header + "a.png,x,train\nb.png,,test\nc d.png,x,test\n")
    write("image_list/ragged", header + "a.png,cat\n")
    write("image_list/open-quote", header + 'a.png,"cat,train\nb.png,dog,train\n')
    write("image_list/not-utf-8", header.encode() + b"a.png,\xff,train\n")
    write("image_list/utf-16", whole.encode("utf-16"))
    write("image_list/semicolons", whole.replace(",", ";"))
    write("image_list/two-paths", "file,image,label\na.png,b.png,cat\n")
    write("image_list/numbers", "path,label\na.png,1e999\nb.png,-0\nc d.png,NaN\n")
    write("image_list/no-rows", header)

    groups = "path\tlabel\tgroup\na.png\tx\tp\nb.png\tx\tq\nc d.png\ty\tp\nfolder/e.png\ty\tq\n"
    write("image_list/whole-with-groups", groups)
    write("image_list/whole-compressed", gzip.compress(whole.encode(), mtime=0))
    write("image_list/bomb", gzip.compress((whole * 50_000).encode(), mtime=0))
    write("competition/whole", "id,breed\na,pug\nc,beagle\nb,pug\n")
    write("competition/whole-with-endings", "image;label;patient\nb.png;2;x\na.png;10;y\n")
    write("competition/missing", "id,breed\na,pug\n../b,beagle\n")
    write("competition/climbing", "id,breed\na.png,pug\n../../etc/passwd,beagle\n")
    write("competition/no-rows", "id,breed\n")
    write("competition/three-columns", "id,breed,age\na,pug,3\n")

    for name, pattern in [
        ("whole", "train-{000..002}.tar"),
        ("whole-list", "{train,train}-00{0,1}.tar"),
        ("whole-steps", "train-{002..000..2}.tar"),
        ("nested", "{train-{000..001},extra{}}.tar"),
        ("too-many", "{0..99999}{a..z}.tar"),
        ("too-many-together", "{" + ",".join(["{0..99999}"] * 50) + "}.tar"),
        ("too-long", "n" * 3000 + "{0..99999}.tar"),
        ("too-deep", "{" * 100 + "}" * 100 + ".tar"),
        ("open", "train-{000..002.tar}"),
        ("letter-to-number", "train-{000..a}.tar"),
        ("extreme", "{-2147483648..2147483647..2147483647}.tar"),
    ]:
        write(f"shard_pattern/{name}", pattern)

    row = '{"file_name": "%s", "label": %s}\n'
    whole = (
        row % ("train/a.png", '"x"')
        + "\n"
        + row % ("train/b.png", "7")
        + row % ("test/c.png", "null")
    )
    write("image_folder/whole", whole)
    write("image_folder/climbing", whole + row % ("train/../../etc/passwd", "1"))
    write("image_folder/truncated", whole[:-20])
    write("image_folder/brackets", '{"file_name": "train/a.png", "label": ' + "[" * 1000)
    write("image_folder/other-names", row % ("train/a.png", "1") + '{"label": 1}\n')
    write("image_folder/line-breaks", row % ("train/a.png", '"x\\ny"') + row % ("missing.png", "1"))
    write("image_folder/empty-objects", "{}\n" * 50)
    write("image_folder/twice", row % ("train/a.png", "1") * 2)

    def npy(descriptor: str, shape: str, elements: bytes) -> bytes:
        header = f"{{'descr': '{descriptor}', 'fortran_order': False, 'shape': {shape}, }}\n"
        return b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header.encode() + elements

    gray = npy("|u1", "(2, 2, 2)", bytes(range(8)))
    labels = npy("<i8", "(2, 1)", struct.pack("<2q", 1, 0))
    whole = {"train_images": gray, "train_labels": labels, "test_images": gray}
    for name, method in [("stored", zipfile.ZIP_STORED), ("deflated", zipfile.ZIP_DEFLATED)]:
        write(f"arrays/whole-{name}", npz(method, **whole))
        write(f"arrays/truncated-{name}", npz(method, **whole)[:-40])
    bomb = npy("|u1", "(2, 4096, 4096)", bytes(2 << 24))
    write("arrays/bomb", npz(zipfile.ZIP_DEFLATED, images=bomb, labels=labels))
    write("arrays/whole-npy", npy("|u1", "(2, 2, 1, 3)", bytes(12)))
    write("arrays/floats", npy("<f4", "(2, 1, 1)", bytes(8)))
    write("arrays/pickle", npy("|O", "(2, 1, 1)", b"cos\nsystem\n(S'id'\ntR."))
    write("arrays/announces-everything", npy("|u1", "(2, 65535, 8192)", b""))
    write("arrays/overflows", npy("|u1", f"({2**40}, 65535, 8000)", b""))
    write("arrays/brackets", npy("|u1", "(" * 900, b""))
    write("arrays/record", npy("|u1", "(2, 1, 1)", b"12").replace(b"'|u1'", b"[('a', '|u1')]"))

    def tar(**members: bytes) -> bytes:
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as archive:
            for name, content in members.items():
                member = tarfile.TarInfo(name.replace("__", "."))
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        return file.getvalue()

    pixel = b"P5 1 1 255\n\x07"
    whole = tar(a__pgm=pixel, a__cls=b"1", b__pgm=pixel, b__json=b'{"label": "x"}')
    write("webdataset/whole", whole[:5120])
    write("webdataset/without-an-end", whole[:4096])
    write("webdataset/truncated", whole[:2055])
    write("webdataset/no-label", tar(a__pgm=pixel)[:2048])
    write("webdataset/long-name", tar(**{"n" * 300 + "__pgm": pixel, "n" * 300 + "__cls": b"0"}))
    size = whole.index(b"00000000014")
    huge = bytearray(whole[:5120])
    huge[size : size + 11] = b"77777777777"
    huge[148:156] = b"%06o\0 " % (sum(huge[:148]) + 8 * 32 + sum(huge[156:512]))
    write("webdataset/announces-everything", bytes(huge))
    write("webdataset/climbing", tar(**{"../a__pgm": pixel, "../a__cls": b"0"})[:4096])

    # The parser adds the digest that belongs at the end.
    magic = b"file digests 2\n\0"
    entries = [bytes([key]) * 16 + bytes(range(32)) for key in range(1, 5)]
    for name, content in [
        ("whole", magic + b"".join(entries)),
        ("whole-one", magic + entries[0]),
        ("none", magic),
        ("empty", b""),
        ("twice", magic + entries[0] * 2),
        ("not-in-order", magic + entries[1] + entries[0]),
        ("without-key", magic + bytes(16) + bytes(range(32))),
        ("older-version", magic.replace(b"2", b"1") + entries[0]),
        ("half-an-entry", magic + b"".join(entries)[:-24]),
        ("newer-version", magic.replace(b"2", b"3") + entries[0]),
    ]:
        write(f"file_digests/{name}", content)
