"""Prepare a few images with TFDS' own imagenet2012 builder: the reference of test_data_imagenet.

Run where TensorFlow is:

python -m venv tf-venv
tf-venv/bin/pip install tensorflow-cpu tensorflow-datasets array_record importlib_resources pillow
tf-venv/bin/python tests/golden/make_imagenet.py
"""

import base64
import hashlib
import io
import json
import tarfile
import tempfile
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).with_name("imagenet.json")
LABELS = "label.labels.txt"
# Of dataset_info.json, what does not follow the wording of TFDS' release.
INFO = ("fileFormat", "moduleName", "name", "splits", "supervisedKeys", "version")


def write_tars(folder, train, validation):
    """Write ImageNet's two tars; train: {wnid: {name: bytes}}, validation: {name: bytes}."""
    with tarfile.open(folder / "ILSVRC2012_img_train.tar", "w") as tar:
        for wnid, files in train.items():
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w") as class_tar:
                _add(class_tar, files)
            _add(tar, {f"{wnid}.tar": inner.getvalue()})
    with tarfile.open(folder / "ILSVRC2012_img_val.tar", "w") as tar:
        _add(tar, validation)


def _add(tar, files):
    for name, content in files.items():
        member = tarfile.TarInfo(name)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))


def images():
    """Draw the sources: (train, validation), as write_tars takes them."""
    adobe = _encode(0, "CMYK", "JPEG", quality=80)
    marker = adobe.index(b"\xff\xee\x00\x0eAdobe")  # 16 bytes; the last one says CMYK or YCCK
    train = {
        "n01440764": {f"n01440764_{i}.JPEG": _encode(i, "RGB", "JPEG") for i in (18, 36, 37)},
        "n01739381": {"n01739381_1309.JPEG": adobe, "n01739381_2.JPEG": _encode(4, "L", "JPEG")},
        "n02077923": {"n02077923_14822.JPEG": adobe[: marker + 15] + b"\2" + adobe[marker + 16 :]},
        "n02105855": {"n02105855_2933.JPEG": _encode(5, "RGB", "PNG")},
        "n02447366": {"n02447366_23489.JPEG": adobe[:marker] + adobe[marker + 16 :]},
        "n02492035": {"n02492035_15739.JPEG": _encode(6, "RGB", "JPEG", subsampling="4:2:0")},
    }
    names = [f"ILSVRC2012_val_{i:08d}.JPEG" for i in range(1, 8)]
    return train, {name: _encode(10 + i, "RGB", "JPEG") for i, name in enumerate(names)}


def _encode(seed, mode, form, **options):
    from PIL import Image

    waves = np.random.default_rng(seed).uniform(0.02, 0.3, (4, 3))
    y, x = np.mgrid[:37, :53]
    planes = [127 + 120 * np.sin(a * x + b * y + 20 * c) for a, b, c in waves]
    planes = np.stack(planes, -1).astype(np.uint8)[..., : {"L": 1, "RGB": 3, "CMYK": 4}[mode]]
    encoded = io.BytesIO()
    Image.frombytes(mode, (53, 37), planes.tobytes()).save(encoded, form, **options)
    return encoded.getvalue()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def main():
    import tensorflow_datasets as tfds

    train, validation = images()
    with tempfile.TemporaryDirectory() as root:
        write_tars(Path(root), train, validation)
        builder = tfds.builder("imagenet2012", data_dir=f"{root}/data")
        config = tfds.download.DownloadConfig(manual_dir=root)
        builder.download_and_prepare(file_format="array_record", download_config=config)
        stored = builder.as_data_source(decoders={"image": tfds.decode.SkipDecoding()})
        records = {
            split: [[r["file_name"].decode(), int(r["label"]), sha256(r["image"])] for r in source]
            for split, source in stored.items()
        }
        info = json.loads(Path(builder.data_dir, "dataset_info.json").read_text())
        files = {path.name: path.read_bytes() for path in sorted(Path(builder.data_dir).iterdir())}
    golden = {
        "train": {w: {n: _text(c) for n, c in files.items()} for w, files in train.items()},
        "validation": {name: _text(content) for name, content in validation.items()},
        "records": records,
        # Only the shards' names: protobuf writes a record's features in a new order every run.
        "files": {n: sha256(c) for n, c in files.items() if n in ("features.json", LABELS)},
        "shards": [name for name in files if "array_record" in name],
        "info": {key: info[key] for key in INFO},
    }
    GOLDEN.write_text(json.dumps(golden, indent=1) + "\n")


def _text(content):
    return base64.b64encode(content).decode()


if __name__ == "__main__":
    main()
