"""ImageNet (ILSVRC 2012) from its two tars, as TFDS' own imagenet2012, without TensorFlow.

What is written has the version, features, record order, names, labels and image bytes that TFDS'
builder gives. Not the shards' bytes: they differ between two runs of that builder, too. And the
validation images are labeled by their numbers, so that a part of them is right as well.
"""

import io
import os
import re
import tarfile
from collections.abc import Iterator
from functools import partial as bind
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import simplejpeg
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core.hashing import Hasher
from tensorflow_datasets.datasets.imagenet2012 import imagenet2012_dataset_builder as stock
from tqdm import tqdm

from rrjax import BadInput
from rrjax.data import folder, records
from rrjax.data.imagenet import VALIDATION, validation_labels, wnids
from rrjax.prepare import writer

REENCODED = {*stock.CMYK_IMAGES, *stock.PNG_IMAGES}


class Official(NamedTuple):
    """A split's official tar: its name, what it holds in words, its images and its bytes."""

    tar: str
    holds: str
    images: int
    size: int


OFFICIAL = {
    "train": Official(
        "ILSVRC2012_img_train.tar", "n01440764.tar to n15075141.tar", 1_281_167, 147_897_477_120
    ),
    "validation": Official(
        "ILSVRC2012_img_val.tar",
        "ILSVRC2012_val_00000001.JPEG to ILSVRC2012_val_00050000.JPEG",
        VALIDATION,
        6_744_924_160,
    ),
}
CLASSES = 1000


class Member(NamedTuple):
    """An image's position in its tar, in bytes; `label` is its class's wnid."""

    name: str
    label: str
    offset: int
    size: int


def prepare(tars: str, data_dir: str, partial: bool) -> None:
    """Write data_dir/imagenet2012 from the official tars in the folder `tars`.

    Both tars are checked before anything is written. Reads the result back and prints what it
    holds.

    Args:
      tars: the folder; a leading ~ is the home folder.
      data_dir: TFDS' folder of sets.
      partial: whether less than all of ImageNet will do.

    Raises:
      BadInput: for a tar that is none, is cut, or holds something else; for less than all of
        ImageNet unless `partial`; and as `writer.building` does.
    """
    tars = folder.expanded(tars)
    paths = {split: Path(tars, official.tar) for split, official in OFFICIAL.items()}
    paths = {split: path for split, path in paths.items() if folder.ask(Path.is_file, path)}
    if not tars or not paths:
        names = " nor ".join(official.tar for official in OFFICIAL.values())
        raise BadInput(
            f"--config.tars={tars!r} holds neither {names}: download them from "
            "https://image-net.org/download-images and give their folder"
        )
    missing = [official.tar for split, official in OFFICIAL.items() if split not in paths]
    if missing and not partial:
        raise BadInput(
            f"{Path(tars, missing[0])} is not there: get it too, or take the other one alone with "
            "--config.partial=True"
        )
    version = str(stock.Builder.VERSION)
    with writer.building(data_dir, "imagenet2012", version) as part:
        members = {split: _scan(path, split) for split, path in paths.items()}
        _check_complete(members, paths, tars, partial)
        info = _info(part)
        with ThreadPool(writer.THREADS) as pool:
            splits = {s: _split(pool, info.features, paths[s], s, members[s]) for s in members}
            writer.write(part, info, splits)
    counts = [_count(data_dir, split) for split in members]
    print(f"{Path(data_dir, 'imagenet2012', version)}: {', '.join(counts)}")


def _count(data_dir: str, split: str) -> str:
    source = records.records("imagenet2012", data_dir, {"validation": "test"}.get(split, split))
    return f"{split} {len(source):,} images of {len(np.unique(source.labels)):,} classes"


def _check_complete(
    members: dict[str, list[Member]], paths: dict[str, Path], tars: str, partial: bool
) -> None:
    less = []
    for split, official in OFFICIAL.items():
        images = members.get(split, [])
        classes = len({image.label for image in images})
        if (len(images), classes) != (official.images, CLASSES):
            where = paths.get(split) or f"{Path(tars, official.tar)} (not there)"
            less.append(
                f"{where}: {len(images):,} images of {classes:,} classes, not "
                f"{official.images:,} of {CLASSES:,}"
            )
    if less and not partial:
        raise BadInput(
            f"{'; '.join(less)}: get all of ImageNet, or take this part with --config.partial=True"
        )
    for line in less:
        print(f"partial: {line}")


def _info(part: Path) -> tfds.core.DatasetInfo:
    metadata = stock.Builder.get_metadata()
    identity = tfds.core.DatasetIdentity(
        "imagenet2012",
        stock.Builder.VERSION,
        str(part),
        stock.__name__,
        release_notes=stock.Builder.RELEASE_NOTES,
    )
    return tfds.core.DatasetInfo(
        builder=identity,
        features=tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(encoding_format="jpeg"),
                "label": tfds.features.ClassLabel(names=wnids()),
                "file_name": tfds.features.Text(),
            }
        ),
        supervised_keys=("image", "label"),
        homepage="https://image-net.org/",
        description=metadata.description,
        citation=metadata.citation,
    )


def _scan(path: Path, split: str) -> list[Member]:
    """List a tar's images, by their headers alone; raise BadInput if it is not the official one."""
    size = path.stat().st_size
    bar = tqdm(desc=f"checking {path.name}", total=size, unit="B", unit_scale=True, disable=None)
    try:
        with path.open("rb") as file, bar:
            images = {}
            for image in SCANS[split](path, file, size):
                if image.name in images:
                    raise BadInput(f"{path}: {image.name} is in it twice; get the official file")
                images[image.name] = image
                bar.update(file.tell() - bar.n)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from error
    if not images:
        raise _wrong(path, split, "no images")
    return [*images.values()]


def _train_images(path: Path, file: BinaryIO, size: int) -> Iterator[Member]:
    class_tars = {f"{wnid}.tar" for wnid in wnids()}
    for inner in _members(file, 0, size, _sized(path, "train", size)):
        if not inner.isfile() or inner.name not in class_tars:
            raise _wrong(path, "train", inner.name)
        start, end = inner.offset_data, inner.offset_data + inner.size
        for member in _members(file, start, end, f"{path}: {inner.name}"):
            if not member.isfile() or not member.name.endswith(".JPEG"):
                raise _wrong(path, "train", f"{inner.name}/{member.name}")
            yield _image(path, file, member, inner.name.removesuffix(".tar"))


def _validation_images(path: Path, file: BinaryIO, size: int) -> Iterator[Member]:
    # By the number in the name. TFDS pairs the sorted names with the labels, which is the same for
    # all 50,000 and wrong for a part of them.
    labels = validation_labels()
    for member in _members(file, 0, size, _sized(path, "validation", size)):
        match = re.fullmatch(r"ILSVRC2012_val_(\d{8})\.JPEG", member.name)
        if not member.isfile() or not match or not 1 <= int(match[1]) <= len(labels):
            raise _wrong(path, "validation", member.name)
        yield _image(path, file, member, labels[int(match[1]) - 1])


SCANS = {"train": _train_images, "validation": _validation_images}


def _sized(path: Path, split: str, size: int) -> str:
    return f"{path} ({size:,} bytes; the official file has {OFFICIAL[split].size:,})"


def _wrong(path: Path, split: str, content: str) -> BadInput:
    return BadInput(
        f"{path}: holds {content}, where {OFFICIAL[split].tar} holds {OFFICIAL[split].holds}: get "
        "the official file"
    )


def _image(path: Path, file: BinaryIO, member: tarfile.TarInfo, label: str) -> Member:
    file.seek(member.offset_data)
    png = member.name in stock.PNG_IMAGES and file.read(4) == b"\x89PNG"
    file.seek(member.offset_data)
    if file.read(2) != b"\xff\xd8" and not png:
        raise BadInput(f"{path}: {member.name} is not a JPEG file; get the official file")
    return Member(member.name, label, member.offset_data, member.size)


def _members(file: BinaryIO, start: int, end: int, name: str) -> Iterator[tarfile.TarInfo]:
    """Walk the archive in bytes start..end of an open file; offsets are the file's."""
    file.seek(start)
    try:
        archive = tarfile.TarFile(fileobj=file)
    except tarfile.ReadError as error:
        raise BadInput(f"{name}: not a tar file ({error}); get the official file") from error
    try:
        while member := archive.next():
            vars(archive)["members"].clear()  # A million of them would fill the memory.
            if member.offset_data + member.size > end:
                raise _cut(name, f"in {member.name}")
            yield member
    except tarfile.ReadError as error:
        raise _cut(name, f"({error})") from error
    # tarfile takes a missing or a damaged header for the end; the true end is two blocks of zeros.
    file.seek(archive.offset)
    if archive.offset + 1024 > end or file.read(1024) != bytes(1024):
        raise _cut(name, f"after byte {archive.offset - start:,}")


def _cut(name: str, where: str) -> BadInput:
    return BadInput(f"{name}: cut or damaged {where}; download it again")


def _split(
    pool: ThreadPool,
    features: tfds.features.FeaturesDict,
    path: Path,
    split: str,
    images: list[Member],
) -> writer.Split:
    key = Hasher(split).hash_key
    images = sorted(images, key=lambda image: key(image.name))
    bar = tqdm(images, f"planning {split}", unit="record", disable=None)
    return writer.Split(
        n=len(images),
        size=sum(_serialized_size(features, path, image) for image in bar),
        read=bind(_examples, pool, path, images),
    )


def _serialized_size(features: tfds.features.FeaturesDict, path: Path, image: Member) -> int:
    # To the byte, as TFDS counts it: the number of shards, and so their names, depends on it.
    content = _content(path, image) if image.name in REENCODED else bytes(image.size)
    return len(features.serialize_example(_example(image, content)))


def _example(image: Member, content: bytes) -> dict[str, Any]:
    return {"image": content, "label": image.label, "file_name": image.name}


def _examples(
    pool: ThreadPool, path: Path, images: list[Member], start: int, stop: int
) -> Iterator[dict[str, Any]]:
    # A shard's images are scattered over the tar: read in the tar's order, written in the shard's.
    span = sorted(images[start:stop], key=lambda image: image.offset)
    contents = dict(zip(span, pool.map(bind(_content, path), span), strict=True))
    for image in images[start:stop]:
        yield _example(image, contents.pop(image))


def _content(path: Path, image: Member) -> bytes:
    try:
        with path.open("rb") as file:
            content = os.pread(file.fileno(), image.size, image.offset)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from error
    if len(content) != image.size:
        raise BadInput(f"{path}: {image.name} is cut; the file changed since it was checked")
    if image.name not in REENCODED:
        return content
    try:
        return as_stock(content)
    except (OSError, SyntaxError, ValueError) as error:  # Pillow's
        raise BadInput(f"{path}: {image.name} is not a readable image ({error})") from error


def as_stock(content: bytes) -> bytes:
    """Encode a CMYK JPEG or a PNG as RGB JPEG, to the byte what TFDS makes of it."""
    with Image.open(io.BytesIO(content)) as image:
        png = image.format == "PNG"
        rgb = np.asarray(image.convert("RGB")) if png else _as_tensorflow(content, image)
    encoded = io.BytesIO()
    Image.fromarray(rgb).save(encoded, "JPEG", quality=100, subsampling="4:2:0", dpi=(300, 300))
    return encoded.getvalue()


def _as_tensorflow(content: bytes, image: Image.Image) -> np.ndarray:
    # TensorFlow decodes with the fast, less exact transform, and turns CMYK to RGB its own way.
    cmyk = image.mode == "CMYK"
    try:
        stored = simplejpeg.decode_jpeg(content, "CMYK" if cmyk else "RGB", fastdct=True)
    except ValueError:
        # A subsampling that simplejpeg does not know: the exact transform, a few levels off.
        # Pillow takes every CMYK to be inverted, as Adobe stores it.
        stored = 255 - np.asarray(image) if cmyk else np.asarray(image.convert("RGB"))
    if not cmyk:
        return stored
    light = (stored if "adobe" in image.info else 255 - stored).astype(np.int32)
    return (light[..., :3] * light[..., 3:] // 255).astype(np.uint8)
