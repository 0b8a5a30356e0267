"""Sets as array_record, read: labels are cached, and what cannot be read is named."""

import io
import json
import os
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from golden.pets import write_tree
from rrjax import BadInput
from rrjax.data import records
from rrjax.prepare import writer
from rrjax.prepare.folder import prepare_folder


@pytest.fixture
def pets(tmp_path):
    """A data_dir that holds the set "pets"."""
    prepare_folder(str(write_tree(tmp_path / "tree")), str(tmp_path / "data"), "pets")
    return tmp_path / "data"


def test_a_broken_record_is_named_by_its_file(pets, monkeypatch):
    source = records.records("pets", str(pets), "train")
    monkeypatch.setattr(records, "decode", lambda content, name: name)
    assert source.read(4) == "pets/train record 4 (dog/ä b.png)"


class Labels(list):
    """A data source of bare labels that counts what is read of it."""

    read = 0

    def __getitems__(self, indices):
        self.read += len(indices)
        return [{"label": self[i]} for i in indices]


def test_labels_are_read_once(tmp_path):
    source, cache = Labels([2, 0, 1] * 200), tmp_path / "labels.npy"
    for _ in range(2):
        result = records.labels(source, 3, cache, [], "x/train")
        assert result.tolist() == list(source) and result.dtype == np.int32
        assert source.read == 600
    assert [path.name for path in tmp_path.iterdir()] == ["labels.npy"]


def _save(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no array",
        _save(np.int32([1, 1]))[:-1],
        _save(np.int32([1])),
        _save(np.int64([1, 1])),
        _save(np.int32([[1], [1]])),
    ],
)
def test_cached_labels_that_are_wrong_are_read_again(tmp_path, content):
    cache = tmp_path / "labels.npy"
    cache.write_bytes(content)
    assert records.labels(Labels([0, 1]), 2, cache, [], "x/train").tolist() == [0, 1]
    assert np.load(cache).tolist() == [0, 1]


def test_labels_need_no_cache(tmp_path):
    cache = tmp_path / "gone/labels.npy"
    assert records.labels(Labels([0, 1]), 2, cache, [], "x/train").tolist() == [0, 1]


@pytest.mark.parametrize("label", [-1, 2])
def test_a_label_of_no_class_is_named(tmp_path, label):
    message = rf"x/test record 1 has the label {label}, not one of 0 to 1: choose a split"
    for _ in range(2):  # read, and cached
        with pytest.raises(BadInput, match=message):
            records.labels(Labels([0, label]), 2, tmp_path / "labels.npy", [], "x/test")


def test_cached_labels_are_not_older_than_the_set(pets):
    where = pets / "pets/1.0.0"
    cache = where / "rrjax_labels-train.npy"
    expected = np.load(cache).tolist()
    since = cache.stat().st_mtime_ns
    sources = ["pets-train.array_record-00000-of-00001", "dataset_info.json"]
    for newer in sources:
        np.save(cache, np.zeros(6, np.int32))
        os.utime(cache, ns=(since, since))
        for name in sources:
            os.utime(where / name, ns=(since, since))
        assert records.records("pets", str(pets), "train").labels.tolist() == [0] * 6
        os.utime(where / newer, ns=(since + 1, since + 1))
        assert records.records("pets", str(pets), "train").labels.tolist() == expected
        assert np.load(cache).tolist() == expected


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("petz", r"no data set is called 'petz', in \S+ or in TFDS: did you mean pets.*\?"),
        ("cifar01", r"'cifar01', .*: did you mean cifar10 or cifar100"),
        ("restricted_imagnet", r"'restricted_imagnet', .*: did you mean restricted_imagenet"),
        ("folders", r"'folders', .*: did you mean folder"),
        ("Digits", r"'Digits', .*: did you mean digits"),
        (
            "x" * 300,
            r"/x{300}: cannot be read \(File name too long\); change its permissions or choose",
        ),
        ("qqqqqqqq", r"'qqqqqqqq', .*: tfds.list_builders\(\) lists them"),
        ("pets:2.0.0", r"pets:2.0.0 is not prepared in \S+ \(only 1.0.0\): choose one that"),
        ("a b", r"'a b' is not the name of a TFDS set: write NAME"),
        ("", r"'' is not the name of a TFDS set"),
        (
            "imagenette/320px-v2",
            r"imagenette/320px-v2 is not prepared in (\S+): python -m venv tf && .* && "
            r"tf/bin/tfds build imagenette/320px-v2 --file_format=array_record --data_dir=\1$",
        ),
        (
            "imagenet2012",
            r"imagenet2012 is not prepared in (\S+): python -m rrjax.prepare "
            r"--config=configs/prepare_imagenet.py --config.tars=FOLDER --workdir=\1$",
        ),
    ],
)
def test_a_set_that_is_not_there_is_named_with_a_command_or_a_hint(pets, capfd, name, message):
    with pytest.raises(BadInput, match=message) as error:
        records.records(name, str(pets), "train")
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "there", "test"),
    [
        ("cifar10", ["train", "test"], "test"),
        ("imagenette", ["train", "validation"], "validation"),
        ("imagenet2012", ["train", "validation", "test"], "validation"),
    ],
)
def test_the_test_split_is_one_with_labels(name, there, test):
    builder = SimpleNamespace(name=name, info=SimpleNamespace(splits=there))
    assert records._stored_split(builder, name, "test") == test
    assert records._stored_split(builder, name, "train") == "train"


def edit_info(data_dir, **changes):
    path = data_dir / "pets/1.0.0/dataset_info.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_tfrecord_is_refused_with_the_command_that_converts_it(pets):
    edit_info(pets, fileFormat="tfrecord")
    where = re.escape(str(pets / "pets/1.0.0"))
    message = (
        rf"{where} is prepared as tfrecord, without random access: .*tf/bin/tfds convert_format "
        rf"--dataset_version_dir={where} --out_file_format=array_record$"
    )
    with pytest.raises(BadInput, match=message):
        records.records("pets", str(pets), "train")
    edit_info(pets, alternativeFileFormats=["array_record"])  # as that command leaves it
    assert len(records.records("pets", str(pets), "train")) == 6
    np.save(pets / "pets/1.0.0/rrjax_labels-train.npy", np.ones(6, np.int32))
    assert records.records("pets", str(pets), "train").labels.tolist() == [1] * 6


def test_a_set_that_is_no_classification_is_refused(tmp_path):
    features = tfds.features.FeaturesDict(
        {"image": tfds.features.Image(), "label": tfds.features.Text()}
    )
    identity = tfds.core.DatasetIdentity("texts", tfds.core.Version("1.0.0"), "", "")
    info = tfds.core.DatasetInfo(builder=identity, features=features)
    split = writer.Split(1, 1, lambda start, stop: [{"image": b"", "label": "a"}])
    with writer.building(str(tmp_path), "texts", "1.0.0") as part:
        writer.write(part, info, {"train": split})
    with pytest.raises(BadInput, match=r"texts is not image classification: .*Text.*; choose a"):
        records.records("texts", str(tmp_path), "train")


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """The data_dir of a set "pets" whose shard of train is longer than two of its blocks."""
    root = tmp_path_factory.mktemp("large")
    for i in range(20):
        path = root / f"tree/train/cat/{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 256, (60, 60, 3), np.uint8)
        Image.fromarray(pixels).save(path)
    prepare_folder(str(root / "tree"), str(root / "data"), "pets")
    return root / "data"


SHARD = "pets-train.array_record-00000-of-00001"


DAMAGE = {
    "gone": os.unlink,
    "empty": lambda path: os.truncate(path, 0),
    "cut to half": lambda path: os.truncate(path, path.stat().st_size // 2),
    "cut to a block": lambda path: os.truncate(path, 2**16),
}


@pytest.mark.parametrize("cache", [True, False], ids=["cached labels", "no cached labels"])
@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", [SHARD, "dataset_info.json", "features.json"])
def test_what_is_gone_or_cut_is_refused(large, tmp_path, name, damage, cache):
    if name.endswith("json") and damage == "cut to a block":
        pytest.skip("the file is shorter")
    where = shutil.copytree(large, tmp_path / "data") / "pets/1.0.0"
    assert where.joinpath(SHARD).stat().st_size > 2**17
    if not cache:
        (where / "rrjax_labels-train.npy").unlink()
    DAMAGE[damage](where / name)
    with pytest.raises(BadInput, match=r"^.* prepare (it|pets) again$") as error:
        records.records("pets", str(tmp_path / "data"), "train")
    assert ("pets/train" if name == SHARD else name) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_shard_that_is_damaged_while_it_is_read_is_refused(large, tmp_path, damage):
    shutil.copytree(large, tmp_path / "data")
    source = records.records("pets", str(tmp_path / "data"), "train")
    DAMAGE[damage](tmp_path / "data/pets/1.0.0" / SHARD)
    with pytest.raises(BadInput, match=r"^pets/train record 2 cannot be read .* prepare it again$"):
        source.read(2)


def test_a_record_is_asked_for_by_any_integer(pets):
    source = records.records("pets", str(pets), "train")
    np.testing.assert_array_equal(source.read(np.int64(3)), source.read(3))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("gs://bucket/sets", r"data.path='gs://bucket/sets' is no folder of this machine: give"),
        ("a\0b", r"data.path='a\\x00b' is no folder of this machine: give"),
        (__file__, rf"data.path='{__file__}' is no folder: give one that holds TFDS' sets"),
        ("/" + "x" * 300, r"/x{300}: cannot be read \(File name too long\); .* choose another"),
        (f"~/{'x' * 300}", r"/.*x{300}: cannot be read \(File name too long\)"),
        ("~nobody-of-this-name", r"cifar10 is not prepared in \S+/~nobody-of-this-name: "),
    ],
)
def test_a_path_that_cannot_be_is_refused(path, message):
    with pytest.raises(BadInput, match=message) as error:
        records.records("cifar10", path, "train")
    assert "\n" not in str(error.value)


def test_what_this_user_may_not_read_is_named(pets, monkeypatch):
    def closed(path, **_):
        raise PermissionError(13, "Permission denied", str(path))

    info = tfds.core.dataset_info
    with monkeypatch.context() as patch:  # As it is when dataset_info.json has the mode 000.
        patch.setattr(info.epath.Path("x").__class__, "read_text", closed)
        with pytest.raises(BadInput, match=r"dataset_info.json.*cannot be read.*: change its perm"):
            records.records("pets", str(pets), "train")
    monkeypatch.setattr(Path, "stat", closed)
    with pytest.raises(BadInput, match=r"data: cannot be read \(Permission denied\); change its"):
        records.records("pets", str(pets), "train")
