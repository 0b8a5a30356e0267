"""idx files: what was written is read, plain or packed; what cannot be read is refused by name."""

import gzip
from types import SimpleNamespace

import numpy as np
import pytest

from rrjax import BadInput, data

IMAGES = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
LABELS = np.array([2, 0, 1], np.uint8)


def written(array):
    """Give an array the head of an idx file, by the published description."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


@pytest.fixture
def root(tmp_path):
    """Write training files plain, and test files, which lack the last class, packed."""
    for prefix, n, pack, end in (("train", 3, bytes, ""), ("t10k", 2, gzip.compress, ".gz")):
        for name, array in (("images-idx3", IMAGES), ("labels-idx1", LABELS[::-1])):
            path = tmp_path / f"{prefix}-{name}-ubyte{end}"
            path.write_bytes(pack(written(array[:n])))
    return tmp_path


def opened(path, split):
    config = SimpleNamespace(name="idx", path=str(path), groups=(), group_names=())
    return data.create_source(config, split)


def test_what_was_written_is_read(root):
    train, test = opened(root, "train"), opened(root, "test")
    assert (len(train), len(test)) == (3, 2)
    assert train.labels.tolist() == [1, 0, 2] and test.labels.tolist() == [1, 0]
    assert train.class_names == test.class_names == ("0", "1", "2")
    np.testing.assert_array_equal(train[2]["image"], IMAGES[2, ..., None])
    np.testing.assert_array_equal(test[1]["image"], IMAGES[1, ..., None])


def change(file, edit):
    file.write_bytes(edit(file.read_bytes()))


def flipped(content):
    return content[:-12] + bytes([content[-12] ^ 255]) + content[-11:]


IMAGE_FILE, LABEL_FILE = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.mark.parametrize(
    ("file", "edit", "message"),
    [
        (
            IMAGE_FILE,
            lambda x: x[:-1],
            f"{IMAGE_FILE}: holds 75 bytes, its head says 76: it is cut",
        ),
        (IMAGE_FILE, lambda x: x + b"0", f"{IMAGE_FILE}: holds 77 bytes, its head says 76"),
        (IMAGE_FILE, lambda x: x[:10], f"{IMAGE_FILE}: holds 10 bytes"),
        (IMAGE_FILE, lambda x: b"", f"{IMAGE_FILE}: begins with nothing, not 00000803: no idx"),
        (IMAGE_FILE, lambda x: b"<htm", f"{IMAGE_FILE}: begins with 3c68746d, not 00000803"),
        (IMAGE_FILE, lambda x: written(LABELS), "begins with 00000801, not 00000803"),
        (LABEL_FILE, lambda x: written(LABELS[:2]), r"train: 3 images and labels of shape \(2,\)"),
        (LABEL_FILE, lambda x: written(LABELS[:0]), r"labels of shape \(0,\); give one"),
        ("t10k-images-idx3-ubyte.gz", lambda x: x[:-9], r"t10k-images-idx3-ubyte.gz: cannot be r"),
        ("t10k-images-idx3-ubyte.gz", flipped, r"gz: cannot be read \(.*\); fetch it again"),
        ("t10k-images-idx3-ubyte.gz", gzip.decompress, r"gz: cannot be read \(Not a gzipped"),
    ],
)
def test_a_file_that_is_not_whole_is_named(file, edit, message, root):
    change(root / file, edit)
    with pytest.raises(BadInput, match=message) as error:
        opened(root, "test" if file.startswith("t10k") else "train")
    assert "\n" not in str(error.value)


def test_a_file_or_a_folder_that_is_not_there_is_named(root, tmp_path):
    (root / LABEL_FILE).unlink()
    for split in ("train", "test"):  # train's labels say how many classes there are
        with pytest.raises(BadInput, match=f"no {LABEL_FILE} or {LABEL_FILE}.gz; fetch all four"):
            opened(root, split)
    for path in ("", tmp_path / "no"):
        with pytest.raises(BadInput, match=r"is no folder; set --config.data.path"):
            opened(path, "train")


def test_labels_from_1_are_named(root):
    (root / "train-labels-idx1-ubyte").write_bytes(written(LABELS[::-1] + 1))
    with pytest.raises(BadInput, match=r"the labels of train begin with 1; .* subtract 1"):
        opened(root, "train")


def test_a_label_of_no_training_image_is_named(root):
    (root / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(written(LABELS[:2] + 5)))
    with pytest.raises(BadInput, match=r"t10k: record 0 has the label 7; .* labels are 0 to 2"):
        opened(root, "test")
