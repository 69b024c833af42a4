"""JPEG: rules about colours and markers, made by moving segments of whole files about."""

import itertools
import struct
from typing import NamedTuple

import imagecodecs
import numpy as np
from PIL import Image

from common import alpha_picture, encode, gray_picture, picture, ppm, run

JFIF = b"\xff\xe0\x00\x10JFIF\0\1\1\0\0\1\0\1\0\0"
REFUSED = {
    "adobe-and-two-components.jpg": "Pillow takes 1, 3 or 4 components",
    "two-components.jpg": "Pillow takes 1, 3 or 4 components",
    "components-of-the-scan-in-another-order.jpg": "libjpeg keeps to the frame's order",
    "jpg-extension-segments.jpg": "libjpeg does not know the marker",
    "second-soi.jpg": "libjpeg allows one SOI",
    "height-0-with-dnl.jpg": "a height of 0",
    "no-eoi.jpg": "ends within its last scan",
    "no-quantisation-table.jpg": "has no quantisation table",
    "sampling-0.jpg": "a sampling factor of 0",
    "sof5.jpg": "differential frames",
    "sof11.jpg": "lossless with arithmetic coding",
    "sof3-of-dct.jpg": "a DCT's scan in a lossless frame",
}

Parts = list[tuple[int, bytes]]


def parts(data: bytes) -> Parts:
    """The segments after SOI as (marker, bytes with the marker), a scan's data with its SOS."""
    at, found = 2, []
    while at < len(data):
        marker = data[at + 1]
        assert data[at] == 0xFF and marker not in {0x00, 0xFF}
        if marker == 0xD9:
            return [*found, (marker, data[at : at + 2])]
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xDA:
            while data[end] != 0xFF or data[end + 1] == 0 or 0xD0 <= data[end + 1] <= 0xD7:
                end += 1
        found.append((marker, data[at:end]))
        at = end
    return found


def join(found: Parts) -> bytes:
    """The file of these segments."""
    return b"\xff\xd8" + b"".join(part for _, part in found)


class Frame(NamedTuple):
    """The fields of a frame header."""

    marker: int
    components: list[tuple[int, int, int]]


def frame_of(data: bytes) -> Frame:
    """The frame header: its marker, and of each component the id, factors and table."""
    marker, part = next(
        (marker, part)
        for marker, part in parts(data)
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}
    )
    body = part[10:]
    return Frame(marker, [tuple(body[n : n + 3]) for n in range(0, len(body), 3)])


def sampling_factors(data: bytes) -> list[str]:
    """Each component's sampling factors as 2x1, horizontal first."""
    return [f"{factors >> 4}x{factors & 15}" for _, factors, _ in frame_of(data).components]


def segment(marker: int, body: bytes) -> tuple[int, bytes]:
    """A segment with its length."""
    return marker, struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def adobe(transform: int) -> tuple[int, bytes]:
    """Adobe's segment."""
    return segment(0xEE, b"Adobe\x00\x64\x00\x00\x00\x00" + bytes([transform]))


def with_ids(found: Parts, ids: tuple[int, ...]) -> Parts:
    """The same with other component ids, in the frame and in its scans."""
    old = [id_ for id_, _, _ in frame_of(join(found)).components]
    new = dict(zip(old, ids))
    changed = []
    for marker, part in found:
        data = bytearray(part)
        if marker in {0xC0, 0xC1, 0xC2}:
            for n in range(data[9]):
                data[10 + 3 * n] = new[data[10 + 3 * n]]
        elif marker == 0xDA:
            for n in range(data[4]):
                data[5 + 2 * n] = new[data[5 + 2 * n]]
        changed.append((marker, bytes(data)))
    return changed


def bare(found: Parts) -> Parts:
    """Without the segments of applications."""
    return [(marker, part) for marker, part in found if not 0xE0 <= marker <= 0xEF]


def before(found: Parts, marker: int, *extra: tuple[int, bytes]) -> Parts:
    """With EXTRA in front of the first segment of this kind."""
    at = next(n for n, (kind, _) in enumerate(found) if kind == marker)
    return [*found[:at], *extra, *found[at:]]


def colours() -> dict[str, bytes]:
    """Which colours three components are: by JFIF, by Adobe's segment, by their ids."""
    files = {}
    whole = bare(parts(encode(Image.fromarray(picture(9, 13)), "JPEG", quality=90, subsampling=0)))
    transforms = {None: "", 0: "adobe-0", 1: "adobe-1", 2: "adobe-2", 7: "adobe-7"}
    ids = {
        (1, 2, 3): "ids-123",
        (0, 1, 2): "ids-012",
        tuple(b"RGB"): "ids-rgb",
        tuple(b"rgb"): "ids-lower-rgb",
        (1, 34, 35): "ids-1-34-35",
        (7, 3, 250): "ids-7-3-250",
    }
    for jfif, transform, id_ in itertools.product((True, False), transforms, ids):
        if (jfif and ids[id_] not in {"ids-123", "ids-rgb"}) or (
            transform in {1, 2, 7} and ids[id_] not in {"ids-123", "ids-rgb"}
        ):
            continue
        found = with_ids(whole, id_)
        if transform is not None:
            found = [adobe(transform), *found]
        if jfif:
            found = [(0xE0, JFIF), *found]
        words = ("colour", "jfif" if jfif else "no-jfif", transforms[transform], ids[id_])
        files["-".join(word for word in words if word) + ".jpg"] = join(found)
    jfif = [(0xE0, JFIF)]
    files["colour-adobe-0-then-jfif.jpg"] = join([adobe(0), *jfif, *whole])
    files["colour-no-jfif-adobe-0-after-sof.jpg"] = join(before(whole, 0xC4, adobe(0)))
    files["colour-no-jfif-adobe-1-after-sof-ids-rgb.jpg"] = join(
        before(with_ids(whole, tuple(b"RGB")), 0xC4, adobe(1))
    )
    files["colour-no-jfif-adobe-0-then-1.jpg"] = join([adobe(0), adobe(1), *whole])
    files["colour-no-jfif-adobe-1-then-0.jpg"] = join([adobe(1), adobe(0), *whole])
    short = segment(0xEE, b"Adobe\x00\x64\x00\x00\x00")
    files["colour-no-jfif-adobe-cut-short-ids-rgb.jpg"] = join(
        [short, *with_ids(whole, tuple(b"RGB"))]
    )
    long = segment(0xEE, b"Adobe\x00\x64\x00\x00\x00\x00\x00and more")
    files["colour-no-jfif-adobe-0-with-more-after.jpg"] = join([long, *whole])
    other = segment(0xEE, b"Adobf\x00\x64\x00\x00\x00\x00\x00")
    files["colour-no-jfif-app14-of-another-name.jpg"] = join([other, *whole])
    short_jfif = segment(0xE0, b"JFIF\0\1\1\0")
    files["colour-jfif-cut-short-adobe-0.jpg"] = join([short_jfif, adobe(0), *whole])
    files["colour-jfif-in-app1-adobe-0.jpg"] = join(
        [(0xE1, b"\xff\xe1" + JFIF[2:]), adobe(0), *whole]
    )
    files["colour-jfxx-adobe-0.jpg"] = join(
        [segment(0xE0, b"JFXX\0\x13" + b"\x01\x01abc" + bytes(9)), adobe(0), *whole]
    )
    files["colour-rgb-by-cjpeg.jpg"] = run(["cjpeg", "-rgb"], ppm(picture(9, 13)))
    files["colour-rgb-by-cjpeg-progressive.jpg"] = run(
        ["cjpeg", "-rgb", "-progressive"], ppm(picture(9, 13))
    )
    files["colour-rgb-by-cjpeg-2x2.jpg"] = run(
        ["cjpeg", "-rgb", "-sample", "2x2,1x1,2x1"], ppm(picture(19, 35))
    )
    files["colour-rgb-by-cjpeg-own-scans-restart1.jpg"] = run(
        ["cjpeg", "-rgb", "-scans", "script", "-restart", "1B"],
        ppm(picture(9, 13)),
        {"script": "0;1;2;"},
    )
    return files


def gray_colours() -> dict[str, bytes]:
    """One component, whatever Adobe's segment says and wherever it stands."""
    files = {}
    whole = parts(encode(Image.fromarray(gray_picture(9, 13)), "JPEG", quality=90))
    for transform in (0, 1, 2):
        files[f"gray-adobe-{transform}.jpg"] = join([whole[0], adobe(transform), *whole[1:]])
        files[f"gray-adobe-{transform}-after-sof.jpg"] = join(before(whole, 0xC4, adobe(transform)))
    files["gray-no-jfif-id-r.jpg"] = join(with_ids(bare(whole), (ord("R"),)))
    files["gray-no-jfif-adobe-0-id-0.jpg"] = join([adobe(0), *with_ids(bare(whole), (0,))])
    return files


def ycck(sampling: str, coarse_black: bool = False) -> bytes:
    """YCCK whose luma and black have these factors, each component in a scan of its own.

    Coarse black has half the rows and columns.
    """
    options = ["cjpeg", "-quality", "90", "-sample", sampling]
    colour = parts(
        run([*options, "-scans", "script"], ppm(255 - picture(19, 35)), {"script": "0;1;2;"})
    )
    ramp = 255 - np.stack([alpha_picture(19, 35) // 3] * 3, axis=-1)
    if coarse_black:
        ramp = ramp[::2, ::2]
    black = parts(run([*options, "-grayscale"], ppm(ramp)))
    scan = bytearray(next(part for marker, part in black if marker == 0xDA))
    scan[5] = 4
    last = (
        b"\x04\x11\0"
        if coarse_black
        else b"\x04" + bytes([int(sampling[0]) << 4 | int(sampling[2])]) + b"\0"
    )
    found = [adobe(2)]
    for marker, part in bare(colour):
        if marker == 0xC0:
            marker, part = segment(0xC0, part[4:9] + b"\x04" + part[10:] + last)
        elif marker == 0xD9:
            found.append((0xDA, bytes(scan)))
        found.append((marker, part))
    return join(found)


def four_colours() -> dict[str, bytes]:
    """Four components: CMYK or YCCK by Adobe's segment, always taken as inverted."""
    files = {}
    cmyk = np.asarray(Image.fromarray(picture(19, 35)).convert("CMYK"))
    whole = parts(encode(Image.fromarray(cmyk, "CMYK"), "JPEG", quality=90, subsampling=0))
    assert whole[0][0] == 0xEE and whole[0][1][-1] == 0
    for label, extra in (("no-adobe", []), *((f"adobe-{n}", [adobe(n)]) for n in (0, 1, 2, 7))):
        files[f"four-components-{label}.jpg"] = join([*extra, *whole[1:]])
    files["four-components-jfif.jpg"] = join([(0xE0, JFIF), *whole[1:]])
    files["four-components-jfif-adobe-2.jpg"] = join([(0xE0, JFIF), adobe(2), *whole[1:]])
    files["four-components-adobe-2-after-sof.jpg"] = join(before(whole[1:], 0xC4, adobe(2)))
    files["four-components-no-adobe-ids-cmyk.jpg"] = join(with_ids(whole[1:], tuple(b"CMYK")))
    files["four-components-no-adobe-ids-0123.jpg"] = join(with_ids(whole[1:], (0, 1, 2, 3)))
    script = {"script": "0;3;1 2;"}
    for sampling in ("1x1", "2x1", "2x2"):
        own = ycck(sampling)
        assert sampling_factors(own) == [sampling, "1x1", "1x1", sampling]
        files[f"ycck-{sampling}-own-scans.jpg"] = own
        files[f"ycck-{sampling}.jpg"] = run(["jpegtran", "-copy", "all"], own)
        files[f"ycck-{sampling}-scans-of-y-k-chroma.jpg"] = run(
            ["jpegtran", "-copy", "all", "-scans", "script"], own, script
        )
    progressive = run(
        ["jpegtran", "-copy", "all", "-progressive", "-restart", "3B"], files["ycck-2x2.jpg"]
    )
    files["ycck-2x2-progressive-restart3.jpg"] = progressive
    files["ycck-2x2-arithmetic.jpg"] = run(
        ["jpegtran", "-copy", "all", "-arithmetic"], files["ycck-2x2.jpg"]
    )
    files["cmyk-own-scans-restart3.jpg"] = run(
        ["jpegtran", "-copy", "all", "-scans", "script", "-restart", "3B"],
        join(whole),
        {"script": "3;2;1;0;"},
    )
    coarse = ycck("2x2", coarse_black=True)
    assert sampling_factors(coarse) == ["2x2", "1x1", "1x1", "1x1"]
    files["ycck-2x2-black-1x1-own-scans.jpg"] = coarse
    files["ycck-2x2-black-1x1.jpg"] = run(["jpegtran", "-copy", "all"], coarse)
    return files


def components() -> dict[str, bytes]:
    """Numbers of components and orders of them."""
    files = {}
    own = bare(
        parts(run(["cjpeg", "-scans", "script"], ppm(picture(17, 18)), {"script": "0;1;2;"}))
    )
    two = []
    for marker, part in own:
        if marker == 0xC0:
            part = part[:2] + struct.pack(">H", 8 + 6) + part[4:9] + b"\x02" + part[10:16]
        two.append((marker, part))
    last = max(n for n, (marker, _) in enumerate(two) if marker == 0xDA)
    del two[last]
    files["two-components.jpg"] = join(two)
    files["adobe-and-two-components.jpg"] = join([adobe(1), *two])

    # Cr, Cb, Y are the order in the MCUs and in the scan header, but not in the frame header.
    ycbcr = np.asarray(Image.fromarray(picture(17, 18)).convert("YCbCr"))
    turned = parts(run(["cjpeg", "-rgb", "-quality", "90"], ppm(ycbcr[..., ::-1])))
    changed = [(0xE0, JFIF)]
    for marker, part in bare(turned):
        data = bytearray(part)
        if marker == 0xC0:
            data[10], data[13], data[16] = 1, 2, 3
        elif marker == 0xDA:
            data[5], data[7], data[9] = 3, 2, 1
        changed.append((marker, bytes(data)))
    files["components-of-the-scan-in-another-order.jpg"] = join(changed)
    return files


def tables(whole: Parts, own: Parts) -> dict[str, bytes]:
    """Quantisation and Huffman tables: where they stand, how they are written."""
    files = {}

    def of(kind: int) -> Parts:
        return [(marker, part) for marker, part in whole if marker == kind]

    rest = [(marker, part) for marker, part in whole if marker not in {0xDB, 0xC4}]
    scan = rest.index(of(0xDA)[0])
    merged_dqt = segment(0xDB, b"".join(part[4:] for _, part in of(0xDB)))
    merged_dht = segment(0xC4, b"".join(part[4:] for _, part in of(0xC4)))
    files["tables-in-one-segment-each.jpg"] = join(before(rest, 0xC0, merged_dqt, merged_dht))
    split = []
    for _, part in of(0xDB):
        split += [segment(0xDB, part[at : at + 65]) for at in range(4, len(part), 65)]
    files["tables-after-sof.jpg"] = join([*rest[:scan], *split, merged_dht, *rest[scan:]])
    sixteen = b"".join(
        bytes([0x10 | data[0]]) + b"".join(bytes([0, value]) for value in data[1:])
        for data in (part[4:] for _, part in split)
    )
    files["tables-of-16-bits-with-small-numbers.jpg"] = join(
        before([(m, p) for m, p in whole if m != 0xDB], 0xC0, segment(0xDB, sixteen))
    )
    files["no-huffman-tables.jpg"] = join([(m, p) for m, p in whole if m != 0xC4])
    files["no-quantisation-table.jpg"] = join([(m, p) for m, p in whole if m != 0xDB])
    avi = segment(0xE0, b"AVI1\0\0\0\0\0\0\0\0\0\0")
    files["no-huffman-tables-avi1.jpg"] = join(
        [avi, *((m, p) for m, p in bare(whole) if m != 0xC4)]
    )

    # Huffman tables 2 and 3, which extended sequential files may have.
    moved = []
    for marker, part in before(rest, 0xC0, merged_dqt, *of(0xC4)):
        data = bytearray(part)
        if marker == 0xC0:
            data[1] = marker = 0xC1
        elif marker == 0xC4:
            data[4] += 2
        elif marker == 0xDA:
            for component in range(3):
                data[6 + 2 * component] += 0x22
        moved.append((marker, bytes(data)))
    files["huffman-tables-2-and-3-sof1.jpg"] = join(moved)
    files["sof1-8-bits.jpg"] = join(
        [(m, b"\xff\xc1" + p[2:] if m == 0xC0 else p) for m, p in whole]
    )

    # Each scan with the tables it needs, and one quantisation table that is written anew.
    luma_dht = [p for m, p in own if m == 0xC4 and not p[4] & 1]
    chroma_dht = [p for m, p in own if m == 0xC4 and p[4] & 1]
    quantisation = [data for data in (part[4:] for _, part in split)]
    repeated, scans = [], 0
    for marker, part in own:
        data = bytearray(part)
        if marker in {0xC4, 0xDB}:
            continue
        if marker == 0xC0:
            data[12] = data[15] = data[18] = 0
        if marker == 0xDA:
            table = quantisation[min(scans, 1)]
            repeated.append(segment(0xDB, b"\0" + table[1:]))
            for table in (luma_dht, chroma_dht)[min(scans, 1)]:
                redefined = bytearray(table)
                redefined[4] &= 0x10
                repeated.append((0xC4, bytes(redefined)))
            data[6] = 0
            scans += 1
        repeated.append((marker, bytes(data)))
    files["own-scans-with-tables-0-written-anew.jpg"] = join(repeated)
    again = []
    for marker, part in own:
        if marker == 0xDA:
            again += [(0xC4, table) for table in luma_dht + chroma_dht]
        again.append((marker, part))
    files["own-scans-with-tables-repeated.jpg"] = join(again)
    return files


def around(whole: Parts, own: Parts) -> dict[str, bytes]:
    """The bytes between, after and inside the segments."""
    files = {}
    exif = Image.Exif()
    exif[0x0112] = 6
    thumbnail = encode(Image.fromarray(picture(8, 8)), "JPEG", quality=30)
    profile = bytes(range(256)) * 2
    files["comment.jpg"] = join([whole[0], segment(0xFE, b"A comment."), *whole[1:]])
    files["comment-empty.jpg"] = join([whole[0], segment(0xFE, b""), *whole[1:]])
    files["comment-after-sof-with-markers.jpg"] = join(
        before(whole, 0xDA, segment(0xFE, b"\xff\xd8\xff\xda\xff\xd9\xff\xc0"))
    )
    files["exif-orientation-6-and-jfif.jpg"] = join(
        [whole[0], segment(0xE1, exif.tobytes()), *whole[1:]]
    )
    files["exif-without-jfif.jpg"] = join([segment(0xE1, exif.tobytes()), *whole[1:]])
    files["exif-with-a-thumbnail.jpg"] = join(
        [segment(0xE1, b"Exif\0\0" + exif.tobytes()[6:] + thumbnail), *whole[1:]]
    )
    files["icc-profile-in-two-parts.jpg"] = join(
        [
            whole[0],
            *(segment(0xE2, b"ICC_PROFILE\0" + bytes([n, 2]) + profile[:250]) for n in (1, 2)),
            *whole[1:],
        ]
    )
    files["gray-with-a-gray-icc-profile.jpg"] = encode(
        Image.fromarray(gray_picture()), "JPEG", quality=90, icc_profile=gray_profile()
    )
    files["all-applications.jpg"] = join(
        [*(segment(0xE0 + n, b"Anything" + bytes([n])) for n in range(16)), *whole[1:]]
    )
    files["jpg-extension-segments.jpg"] = join([whole[0], segment(0xF0, b"JPG0"), *whole[1:]])
    for kind, label in ((0xDB, "dqt"), (0xC0, "sof"), (0xC4, "dht"), (0xDA, "sos"), (0xD9, "eoi")):
        at = next(n for n, (marker, _) in enumerate(whole) if marker == kind)
        filled = [*whole[:at], (kind, b"\xff\xff\xff" + whole[at][1]), *whole[at + 1 :]]
        files[f"fill-bytes-before-{label}.jpg"] = join(filled)
    for count in (1, 3, 200):
        for kind, label in ((0xC0, "sof"), (0xC4, "dht"), (0xDA, "sos")):
            if count == 3 or kind == 0xC0:
                files[f"{count}-extra-bytes-before-{label}.jpg"] = join(
                    before(whole, kind, (0, b"\x55" * count))
                )
    files["3-zeros-before-sof.jpg"] = join(before(whole, 0xC0, (0, bytes(3))))
    files["extra-bytes-with-escaped-ff-before-dht.jpg"] = join(
        before(whole, 0xC4, (0, b"\x11\xff\x00\x22"))
    )
    files["20-extra-bytes-before-second-scan.jpg"] = join([*own[:-2], (0, b"\x55" * 20), *own[-2:]])
    files["20-extra-bytes-before-eoi.jpg"] = join([*whole[:-1], (0, b"\x55" * 20), *whole[-1:]])
    files["dri-0.jpg"] = join(before(whole, 0xDA, segment(0xDD, b"\0\0")))
    files["dri-larger-than-the-image.jpg"] = join(before(whole, 0xDA, segment(0xDD, b"\xff\xff")))
    files["dri-before-sof.jpg"] = join(before(whole, 0xC0, segment(0xDD, b"\xff\xfe")))

    restarts = run(["jpegtran", "-restart", "1B"], join(whole))
    last = restarts.index(b"\xff\xda")
    body = restarts[last:]
    assert b"\xff\xd0" in body and b"\xff\xd1" in body
    filled = body.replace(b"\xff\xd1", b"\xff\xff\xff\xd1")
    files["fill-bytes-before-restart-markers.jpg"] = restarts[:last] + filled
    junk = body.replace(b"\xff\xd1", b"\x55\x55\x55\xff\xd1")
    files["3-extra-bytes-before-restart-markers.jpg"] = restarts[:last] + junk
    odd = bytearray(join(whole))
    scan = odd.index(b"\xff\xda")
    odd[scan + 11 : scan + 14] = b"\0\0\0"
    files["baseline-with-ss-0-se-0.jpg"] = bytes(odd)

    still = join(whole)
    video = b"MotionPhoto_Data\0\0\0\x18ftypmp42" + bytes(range(200))
    files["video-after-eoi.jpg"] = still + video
    files["video-with-sos-and-eoi-after-eoi.jpg"] = still + video + b"\xff\xda\xff\xd9" + video
    files["zeros-after-eoi.jpg"] = still + bytes(100)
    files["second-jpeg-after-eoi.jpg"] = still + thumbnail
    files["second-jpeg-cut-off-after-eoi.jpg"] = still + thumbnail[:-100]
    files["second-soi.jpg"] = still[:2] + still
    return files


def frames(whole: Parts) -> dict[str, bytes]:
    """Frame headers of other kinds, some of which nobody decodes."""
    files = {}
    still = join(whole)
    at = still.index(b"\xff\xc0")

    def changed(offset: int, value: bytes) -> bytes:
        return still[: at + offset] + value + still[at + offset + len(value) :]

    files["sof3-of-dct.jpg"] = changed(0, b"\xff\xc3")
    files["sof5.jpg"] = changed(0, b"\xff\xc5")
    files["sof11.jpg"] = changed(0, b"\xff\xcb")
    files["sampling-0.jpg"] = changed(11, b"\x00")
    files["no-eoi.jpg"] = still[:-2]
    dnl = segment(0xDC, struct.pack(">H", picture(17, 18).shape[0]))
    zero = parts(changed(5, b"\0\0"))
    files["height-0-with-dnl.jpg"] = join([*zero[:-1], dnl, zero[-1]])
    files["height-and-dnl.jpg"] = join([*whole[:-1], dnl, whole[-1]])

    rgb, gray = picture(17, 18), gray_picture(17, 18)
    wide = rgb.astype(np.uint16) * 16
    files["12-bits.jpg"] = imagecodecs.jpeg8_encode(wide, 90, bitspersample=12)
    files["16-bits-lossless.jpg"] = imagecodecs.ljpeg_encode(
        gray.astype(np.uint16) * 257, bitspersample=16
    )
    for predictor in (1, 4, 7):
        files[f"lossless-gray-predictor-{predictor}.jpg"] = imagecodecs.jpeg8_encode(
            gray, lossless=True, predictor=predictor
        )
    files["lossless-rgb.jpg"] = imagecodecs.jpeg8_encode(rgb, lossless=True, predictor=1)
    assert all(
        frame_of(files[name]).marker == 0xC3 for name in files if name.startswith("lossless")
    )
    assert frame_of(files["12-bits.jpg"]).marker in {0xC0, 0xC1}
    return files


def gray_profile() -> bytes:
    """A profile of a gray display (ICC.1:2001-04, 6); its gamma 3 shows whoever applies it."""
    curve = b"curv" + struct.pack(">IIH", 0, 1, 3 * 256) + b"\0\0"
    white = b"XYZ " + struct.pack(">I3i", 0, 63190, 65536, 54061)
    tags, start = b"", 128 + 4 + 2 * 12
    for name, content in ((b"kTRC", curve), (b"wtpt", white)):
        tags += name + struct.pack(">II", start, len(content))
        start += len(content)
    header = struct.pack(">I4sI4s4s4s", start, b"none", 0x02400000, b"mntr", b"GRAY", b"XYZ ")
    header = header.ljust(36, b"\0") + b"acsp"
    header = header.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + struct.pack(">I", 2) + tags + curve + white


def files() -> dict[str, bytes]:
    """Every file of this module by name."""
    whole = parts(encode(Image.fromarray(picture(17, 18)), "JPEG", quality=90))
    own = parts(
        run(
            ["cjpeg", "-quality", "90", "-sample", "2x2", "-scans", "script"],
            ppm(picture(17, 18)),
            {"script": "0;1;2;"},
        )
    )
    groups = [colours(), gray_colours(), four_colours(), components()]
    groups += [tables(whole, own), around(whole, own), frames(whole)]
    merged = {}
    for group in groups:
        assert not merged.keys() & group.keys()
        merged |= group
    return merged
