"""Sets as array_record: record i is image i of the folder, and what cannot be read is named."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from paths import ROOT
from rrjax.data import datasets, records
from rrjax.data.folder import folder
from rrjax.errors import BadInput
from rrjax.prepare import __main__ as preparation
from rrjax.prepare import writer
from rrjax.prepare.folder import prepare_folder

NAMES = {
    "train": [
        "cat/10.jpg",
        "cat/2.JPEG",
        "cat/gray.png",
        "dog/in/x.bmp",
        "dog/ä b.png",
        "eel/1.webp",
    ],
    "val": ["cat/1.jpg", "eel/.hidden.png", "eel/2.ppm"],
}


def write_image(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (9 + seed, 12) if "gray" in path.name else (9 + seed, 12, 3)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def tree(tmp_path):
    """A tree of images of several formats and sizes."""
    root = tmp_path / "tree"
    for split, names in NAMES.items():
        for seed, name in enumerate(names):
            write_image(root / split / name, seed)
    return root


@pytest.fixture
def pets(tree, tmp_path):
    """The data_dir that holds the tree as the set "pets"."""
    prepare_folder(str(tree), str(tmp_path / "data"), "pets")
    return tmp_path / "data"


def same_as_the_folder(tree, data_dir):
    for split in ("train", "test"):
        expected, found = folder(tree, split), records.records("pets", str(data_dir), split)
        assert found.name == f"pets/{split}" and found.class_names == ("cat", "dog", "eel")
        assert found.labels.dtype == np.int32
        np.testing.assert_array_equal(found.labels, expected.labels)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one["image"], other["image"])


def test_a_prepared_folder_is_the_folder(tree, pets):
    same_as_the_folder(tree, pets)
    builder = tfds.builder("pets", data_dir=pets)
    raw = builder.as_data_source("train", decoders={"image": tfds.decode.SkipDecoding()})
    names = [record["file_name"].decode() for record in raw]
    assert names == NAMES["train"]
    assert [record["image"] for record in raw] == [
        (tree / "train" / name).read_bytes() for name in names
    ]


def test_several_shards_keep_the_order(tree, tmp_path, monkeypatch):
    monkeypatch.setattr(writer.shard_utils.ShardConfig, "min_shard_size", 300)
    prepare_folder(str(tree), str(tmp_path / "data"), "pets")
    assert len([*tmp_path.glob("data/pets/1.0.0/*-train.array_record*")]) == 4
    same_as_the_folder(tree, tmp_path / "data")


def test_a_split_may_be_missing(tree, tmp_path):
    shutil.rmtree(tree / "train")
    prepare_folder(str(tree), str(tmp_path), "pets")
    assert records.records("pets", str(tmp_path), "test").class_names == ("cat", "eel")
    with pytest.raises(BadInput, match=r"pets in .* has no split to train on, only test: choose"):
        records.records("pets", str(tmp_path), "train")


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
    source, kept = Labels([2, 0, 1] * 200), tmp_path / "labels.npy"
    for _ in range(2):
        found = records.labels(source, 3, kept, [], "x/train")
        assert found.tolist() == list(source) and found.dtype == np.int32
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
def test_labels_that_were_kept_wrong_are_read_again(tmp_path, content):
    kept = tmp_path / "labels.npy"
    kept.write_bytes(content)
    assert records.labels(Labels([0, 1]), 2, kept, [], "x/train").tolist() == [0, 1]
    assert np.load(kept).tolist() == [0, 1]


def test_labels_need_no_place_to_keep_them(tmp_path):
    kept = tmp_path / "gone/labels.npy"
    assert records.labels(Labels([0, 1]), 2, kept, [], "x/train").tolist() == [0, 1]


@pytest.mark.parametrize("label", [-1, 2])
def test_a_label_of_no_class_is_named(tmp_path, label):
    message = rf"x/test record 1 has the label {label}, not one of 0 to 1: choose a split"
    for _ in range(2):  # read, and kept
        with pytest.raises(BadInput, match=message):
            records.labels(Labels([0, label]), 2, tmp_path / "labels.npy", [], "x/test")


def test_kept_labels_are_older_than_nothing_they_come_from(pets):
    where = pets / "pets/1.0.0"
    kept = where / "rrjax_labels-train.npy"
    expected = np.load(kept).tolist()
    since = kept.stat().st_mtime_ns
    sources = ["pets-train.array_record-00000-of-00001", "dataset_info.json"]
    for newer in sources:
        np.save(kept, np.zeros(6, np.int32))
        os.utime(kept, ns=(since, since))
        for name in sources:
            os.utime(where / name, ns=(since, since))
        assert records.records("pets", str(pets), "train").labels.tolist() == [0] * 6
        os.utime(where / newer, ns=(since + 1, since + 1))
        assert records.records("pets", str(pets), "train").labels.tolist() == expected
        assert np.load(kept).tolist() == expected


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
def test_a_set_that_is_not_there_is_named_with_the_mend(pets, capfd, name, message):
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


@pytest.mark.parametrize("kept", [True, False], ids=["labels kept", "labels not kept"])
@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", [SHARD, "dataset_info.json", "features.json"])
def test_what_is_gone_or_cut_is_refused(large, tmp_path, name, damage, kept):
    if name.endswith("json") and damage == "cut to a block":
        pytest.skip("the file is shorter")
    where = shutil.copytree(large, tmp_path / "data") / "pets/1.0.0"
    assert where.joinpath(SHARD).stat().st_size > 2**17
    if not kept:
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
    with pytest.raises(BadInput, match=r"tree/train: cannot be read \(Permission denied\); change"):
        prepare_folder("tree", str(pets), "birds")


def test_a_corrupt_image_leaves_nothing(tree, tmp_path):
    file = tree / "val/eel/2.ppm"
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(BadInput, match=r"2.ppm: not a readable image .* replace or remove it"):
        prepare_folder(str(tree), str(tmp_path / "data"), "pets")
    assert not [*(tmp_path / "data/pets").iterdir()]


@pytest.mark.parametrize("name", ["", "a b", "a/b", "pets:1.0.0", "1a", "../x", "ä", "Pets"])
def test_a_name_that_tfds_cannot_use_is_refused(tree, tmp_path, name):
    with pytest.raises(BadInput, match=r"--config.name=.*: give lower-case letters, digits and _"):
        prepare_folder(str(tree), str(tmp_path / "data"), name)


def test_prepare_folder_refuses(tree, pets):
    with pytest.raises(BadInput, match="'cifar10' is TFDS' name for another set: choose your own"):
        prepare_folder(str(tree), str(pets), "cifar10")
    for source in ("", str(tree / "nowhere"), str(tree / "train"), "a\0b"):
        with pytest.raises(BadInput, match=r"is no folder that holds train/ or test/"):
            prepare_folder(source, str(pets), "birds")
    with pytest.raises(BadInput, match=r"pets/1.0.0 is already prepared: delete that folder"):
        prepare_folder(str(tree), str(pets), "pets")
    same_as_the_folder(tree, pets)
    (tree / "val/zebra").mkdir()
    with pytest.raises(BadInput, match="zebra: no such class in train"):
        prepare_folder(str(tree), str(pets), "birds")


def test_rrjaxs_own_names_are_refused(tree, tmp_path):
    assert set(records.NAMES) == set(datasets.SOURCES)
    for name in records.NAMES:
        with pytest.raises(BadInput, match=f"{name}' is rrjax's name for other data: choose your"):
            prepare_folder(str(tree), str(tmp_path), name)


@pytest.mark.parametrize("name", ["a\nb", "a\rb", " a", "a\t", "\x85a", os.fsdecode(b"a\xff")])
def test_names_that_tfds_cannot_keep_are_refused(tree, tmp_path, name):
    write_image(tree / "train" / name / "1.png", 0)
    with pytest.raises(BadInput, match=r"the class folder '.*' has a name .*: rename it") as error:
        prepare_folder(str(tree), str(tmp_path / "data"), "pets")
    assert "\n" not in str(error.value) and str(error.value).isprintable()
    (tree / "train" / name).rename(tree / "train/a b")
    write_image(tree / "train/cat/in" / f"{name}.png", 0)
    if name.encode(errors="ignore").decode() == name:
        prepare_folder(str(tree), str(tmp_path / "data"), "pets")
        source = records.records("pets", str(tmp_path / "data"), "train")
        assert source.class_names == ("a b", "cat", "dog", "eel")
        return
    with pytest.raises(BadInput, match=r"the file 'cat/in/a.udcff.png' .* not UTF-8: rename it"):
        prepare_folder(str(tree), str(tmp_path / "data"), "pets")


def test_an_empty_workdir_is_refused():
    with pytest.raises(BadInput, match=r"^--workdir is empty: name the folder to write$"):
        preparation.run(None, "")


def test_two_at_a_time_are_refused(tree, tmp_path):
    with writer.building(str(tmp_path), "birds", "1.0.0") as part:
        with pytest.raises(BadInput, match=r"another process prepares a set in .*: wait for it"):
            prepare_folder(str(tree), str(tmp_path), "pets")
        assert part.is_dir()
    prepare_folder(str(tree), str(tmp_path), "pets")


def test_a_disk_too_small_is_refused_before_work(tree, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    message = r"pets/1.0.0 cannot be written \(it takes \S+ bytes and 1,000 are free\): free some"
    with pytest.raises(BadInput, match=message):
        prepare_folder(str(tree), str(tmp_path), "pets")
    assert not [*(tmp_path / "pets").iterdir()]


def run_python(code, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True)


KILLED = """
import os, signal, sys
from rrjax.prepare import folder
decode = folder.decode
def until_the_last(content, name):
    if name.endswith("2.ppm"):
        os.kill(os.getpid(), signal.SIGKILL)
    return decode(content, name)
folder.decode = until_the_last
folder.prepare_folder(*sys.argv[1:])
"""


def test_a_killed_run_is_begun_again(tree, tmp_path):
    data_dir = tmp_path / "data"
    result = run_python(KILLED, tree, data_dir, "pets")
    assert result.returncode == -signal.SIGKILL, result.stderr
    left = data_dir / "pets/incomplete.1.0.0"
    assert [*left.glob("pets-train*")] and [*left.parent.iterdir()] == [left]
    with pytest.raises(BadInput, match="no data set is called 'pets'"):
        records.records("pets", str(data_dir), "train")
    (left / "stray").touch()
    prepare_folder(str(tree), str(data_dir), "pets")
    assert [path.name for path in (data_dir / "pets").iterdir()] == ["1.0.0"]
    assert not (data_dir / "pets/1.0.0/stray").exists()
    same_as_the_folder(tree, data_dir)


FULL = """
import resource, sys
from rrjax.prepare import folder
from rrjax.errors import BadInput
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    folder.prepare_folder(*sys.argv[1:])
except BadInput as error:
    print(error)
"""


def test_a_full_disk_is_said_in_one_line(tree, tmp_path):
    result = run_python(FULL, tree, tmp_path / "data", "pets")
    assert re.fullmatch(
        r"\S+/pets/1.0.0 cannot be written \(.*File too large.*\): free some space, or .*\n",
        result.stdout,
    ), result
    assert not [*(tmp_path / "data/pets").iterdir()]


def test_the_command_prepares_what_is_then_read(tree, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    flags = [
        "--config=configs/prepare_folder.py",
        "--config.folder=~/tree",
        "--config.name=pets",
        "--workdir=~/data",
    ]
    for code, output in ((0, ""), (2, "error: ")):
        command = [sys.executable, "-m", "rrjax.prepare", *flags]
        result = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True)
        assert result.returncode == code and result.stderr.startswith(output), result.stderr
        assert result.stderr.count("\n") == (code > 0)
        told = "pets/train: 6 images of 3 classes (cat 3, dog 2, eel 1)\npets/test: 2 images"
        assert result.stdout.startswith(told if code == 0 else "")
    same_as_the_folder(tree, tmp_path / "data")
    assert len(records.records("pets", "~/data", "train")) == len(folder("~/tree", "train")) == 6
