"""ImageNet from its tars: what TFDS' own builder makes of them, and no tar that is not whole."""

import base64
import io
import json
import re
import tarfile
from pathlib import Path

import pytest
import tensorflow_datasets as tfds

import commands
from golden.make_imagenet import sha256, write_tars
from paths import GOLDEN, SHARED
from rrjax import BadInput
from rrjax.data import imagenet, records
from rrjax.prepare import imagenet as preparation
from rrjax.prepare import writer

REFERENCE = json.loads((GOLDEN / "imagenet.json").read_text())


TRAIN = {
    wnid: {name: base64.b64decode(content) for name, content in files.items()}
    for wnid, files in REFERENCE["train"].items()
}


VALIDATION = {name: base64.b64decode(content) for name, content in REFERENCE["validation"].items()}


TARS = {split: official.tar for split, official in preparation.OFFICIAL.items()}


def stored(data_dir, split):
    """List a prepared split as it is stored: (file name, label, bytes)."""
    builder = tfds.builder_from_directory(f"{data_dir}/imagenet2012/5.1.0")
    source = builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
    return [(r["file_name"].decode(), int(r["label"]), r["image"]) for r in source]


def prepare_command(*flags):
    return commands.run("prepare", "--config=configs/prepare_imagenet.py", *flags)


def test_a_set_is_what_the_stock_builder_makes(tmp_path, capsys):
    write_tars(tmp_path, TRAIN, VALIDATION)
    preparation.prepare(str(tmp_path), str(tmp_path / "data"), partial=True)
    for split, expected in REFERENCE["records"].items():
        result = stored(tmp_path / "data", split)
        assert [[*rest, sha256(content)] for *rest, content in result] == expected
    folder = tmp_path / "data/imagenet2012/5.1.0"
    info = json.loads((folder / "dataset_info.json").read_text())
    assert {key: info[key] for key in REFERENCE["info"]} == REFERENCE["info"]
    for name, expected in REFERENCE["files"].items():
        assert sha256((folder / name).read_bytes()) == expected
    assert sorted(path.name for path in folder.glob("*array_record*")) == REFERENCE["shards"]
    assert capsys.readouterr().out.splitlines() == [
        f"partial: {tmp_path / TARS['train']}: 9 images of 6 classes, not 1,281,167 of 1,000",
        f"partial: {tmp_path / TARS['validation']}: 7 images of 7 classes, not 50,000 of 1,000",
        f"{folder}: train 9 images of 6 classes, validation 7 images of 7 classes",
    ]


def test_several_shards_keep_the_order(tmp_path, monkeypatch):
    monkeypatch.setattr(writer.shard_utils.ShardConfig, "min_shard_size", 4000)
    write_tars(tmp_path, TRAIN, VALIDATION)
    preparation.prepare(str(tmp_path), str(tmp_path / "data"), partial=True)
    assert len([*tmp_path.glob("data/imagenet2012/5.1.0/*-train.array_record*")]) == 4
    result = stored(tmp_path / "data", "train")
    assert [name for name, _, _ in result] == [name for name, _, _ in REFERENCE["records"]["train"]]


def test_validation_is_the_test_split_and_labeled_by_number(tmp_path):
    chosen = "ILSVRC2012_val_00000007.JPEG"
    write_tars(tmp_path, TRAIN, {chosen: VALIDATION[chosen]})
    preparation.prepare(str(tmp_path), str(tmp_path / "data"), partial=True)
    source = records.records("imagenet2012", str(tmp_path / "data"), "test")
    assert source.name == "imagenet2012/validation"
    assert source.labels.tolist() == [334] and source.class_names == imagenet.wnids()


def test_one_tar_will_do_for_a_part(tmp_path, capsys):
    write_tars(tmp_path, TRAIN, VALIDATION)
    (tmp_path / TARS["train"]).unlink()
    preparation.prepare(str(tmp_path), str(tmp_path / "data"), partial=True)
    assert "ILSVRC2012_img_train.tar (not there): 0 images of 0 classes" in capsys.readouterr().out
    with pytest.raises(BadInput, match="has no split to train on, only validation: choose another"):
        records.records("imagenet2012", str(tmp_path / "data"), "train")


def test_all_of_imagenet_needs_no_flag(tmp_path, monkeypatch, capsys):
    # As if six images of six classes, twice, were all there is.
    images = {wnid: dict([*files.items()][:1]) for wnid, files in TRAIN.items()}
    write_tars(tmp_path, images, dict([*VALIDATION.items()][:6]))
    official = {split: result._replace(images=6) for split, result in preparation.OFFICIAL.items()}
    monkeypatch.setattr(preparation, "OFFICIAL", official)
    monkeypatch.setattr(preparation, "CLASSES", 6)
    preparation.prepare(str(tmp_path), str(tmp_path / "data"), partial=False)
    assert capsys.readouterr().out == (
        f"{tmp_path}/data/imagenet2012/5.1.0: train 6 images of 6 classes, "
        "validation 6 images of 6 classes\n"
    )


def refused(tmp_path, partial=True):
    """Return the one line with which prepare refuses; it leaves nothing."""
    with pytest.raises(BadInput) as error:
        preparation.prepare(str(tmp_path), str(tmp_path / "data"), partial)
    assert not [*(tmp_path / "data").glob("imagenet2012/*")]
    message = str(error.value)
    assert "\n" not in message
    return message


def test_less_than_all_is_refused(tmp_path):
    write_tars(tmp_path, TRAIN, VALIDATION)
    message = refused(tmp_path, partial=False)
    assert "img_train.tar: 9 images of 6 classes, not 1,281,167 of 1,000; " in message
    assert "img_val.tar: 7 images of 7 classes, not 50,000 of 1,000: get all" in message
    assert message.endswith("--config.partial=True")
    (tmp_path / TARS["validation"]).unlink()
    message = refused(tmp_path, partial=False)
    assert "ILSVRC2012_img_val.tar is not there: get it too, or take the other one" in message
    (tmp_path / TARS["train"]).unlink()
    assert "holds neither ILSVRC2012_img_train.tar nor" in refused(tmp_path)


@pytest.mark.parametrize("split", TARS)
def test_a_tar_cut_anywhere_is_refused(tmp_path, split):
    write_tars(tmp_path, {"n01440764": TRAIN["n01440764"]}, VALIDATION)
    path = tmp_path / TARS[split]
    whole = path.read_bytes()
    with tarfile.open(path) as tar:
        end = max(member.offset_data + member.size for member in tar)
    end += -end % 512 + 1024  # The archive ends with two blocks of zeros; padding may follow.
    assert len([*preparation._scan(path, split)]) > 0
    for cut in [*range(0, end, 512), 1, 511, 513, end - 1]:
        path.write_bytes(whole[:cut])
        with pytest.raises(BadInput, match=f"{TARS[split]} .*(cut or damaged|not a tar file)"):
            preparation._scan(path, split)
    path.write_bytes(whole[:end])
    preparation._scan(path, split)


def test_a_class_tar_cut_within_the_whole_is_refused(tmp_path):
    write_tars(tmp_path, TRAIN, {})
    path = tmp_path / TARS["train"]
    content = bytearray(path.read_bytes())
    second = content.index(b"n01440764_36.JPEG")
    content[second : second + 512] = bytes(512)  # as if the class ended here
    path.write_bytes(content)
    assert "img_train.tar: n01440764.tar: cut or damaged" in refused(tmp_path)


def test_a_class_tar_without_an_end_is_refused(tmp_path):
    write_tars(tmp_path, {"n01440764": TRAIN["n01440764"]}, {})
    path = tmp_path / TARS["train"]
    with tarfile.open(path) as tar:
        whole = tar.extractfile("n01440764.tar").read()
    with tarfile.open(path, "w") as tar:  # The zeros that follow are the outer tar's.
        header = tarfile.TarInfo("n01440764.tar")
        header.size = len(whole.rstrip(b"\0")) // 512 * 512 + 512
        tar.addfile(header, io.BytesIO(whole))
    assert "img_train.tar: n01440764.tar: cut or damaged after byte" in refused(tmp_path)


PHOTO = TRAIN["n01440764"]["n01440764_18.JPEG"]


@pytest.mark.parametrize(
    ("train", "validation", "message"),
    [
        ({}, {}, "img_train.tar: holds no images, where .* holds n01440764.tar to"),
        ({"n00000001": {"a.JPEG": PHOTO}}, {}, "img_train.tar: holds n00000001.tar, where"),
        ({"n01440764": {"a.png": PHOTO}}, {}, "img_train.tar: holds n01440764.tar/a.png, where"),
        ({"n01440764": {"a.JPEG": b"GIF89a"}}, {}, "img_train.tar: a.JPEG is not a JPEG file"),
        ({"n01440764": {"a.JPEG": b""}}, {}, "img_train.tar: a.JPEG is not a JPEG file"),
        (
            {wnid: {"a.JPEG": PHOTO} for wnid in ("n01440764", "n01443537")},
            {},
            "img_train.tar: a.JPEG is in it twice",
        ),
        (TRAIN, {"a.JPEG": PHOTO}, "img_val.tar: holds a.JPEG, where .* ILSVRC2012_val_00000001"),
        (TRAIN, {"ILSVRC2012_val_00050001.JPEG": PHOTO}, "val_00050001.JPEG, where"),
        (TRAIN, {"ILSVRC2012_val_00000000.JPEG": PHOTO}, "val_00000000.JPEG, where"),
        (TRAIN, {"n01440764.tar": PHOTO}, "img_val.tar: holds n01440764.tar, where"),
        (
            {"n02105855": {"n02105855_2933.JPEG": b"\x89PNG, but not one"}},
            VALIDATION,
            "img_train.tar: n02105855_2933.JPEG is not a readable image",
        ),
    ],
)
def test_a_tar_of_something_else_is_refused(tmp_path, train, validation, message):
    write_tars(tmp_path, train, validation)
    with pytest.raises(BadInput, match=message):
        preparation.prepare(str(tmp_path), str(tmp_path / "data"), partial=True)
    assert not [*(tmp_path / "data").glob("imagenet2012/*")]


@pytest.mark.parametrize("content", [b"", b"not a tar" * 200, b"\x1f\x8b" + bytes(2000)])
def test_a_file_that_is_no_tar_is_refused(tmp_path, content):
    (tmp_path / TARS["train"]).write_bytes(content)
    assert re.search(r"img_train.tar \(.* bytes; .*\): not a tar file", refused(tmp_path))


def test_the_command_refuses_in_one_line(tmp_path):
    write_tars(tmp_path, TRAIN, VALIDATION)
    result = prepare_command(f"--config.tars={tmp_path}", f"--workdir={tmp_path / 'data'}")
    assert result.returncode == 2
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1


def test_a_folder_of_tars_may_be_below_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_tars(tmp_path, TRAIN, VALIDATION)
    preparation.prepare("~", str(tmp_path / "data"), partial=True)
    result = stored(tmp_path / "data", "train")
    assert [name for name, _, _ in result] == [name for name, _, _ in REFERENCE["records"]["train"]]


@pytest.mark.parametrize(
    ("tars", "message"),
    [
        ("/" + "x" * 300, r"/x{300}/ILSVRC\S+: cannot be read \(File name too long\); change its"),
        ("a\0b", r"--config.tars='a\\x00b' holds neither"),
        ("~nobody-of-this-name", r"--config.tars='~nobody-of-this-name' holds neither"),
    ],
)
def test_a_folder_that_cannot_be_is_refused(tmp_path, tars, message):
    with pytest.raises(BadInput, match=rf"^{message}.*$"):
        preparation.prepare(tars, str(tmp_path), partial=True)


def test_a_folder_this_user_may_not_read_is_named(tmp_path, monkeypatch):
    def closed(path, **_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", closed)  # By hand, as a mode closes nothing to root.
    with pytest.raises(BadInput, match=r"train.tar: cannot be read \(Permission denied\); change"):
        preparation.prepare("tars", str(tmp_path), partial=True)


@pytest.mark.skipif(not SHARED.exists(), reason="needs ../shared/data/imagenet_samples")
def test_real_photographs_come_back_by_wnid(tmp_path):
    lines = (SHARED / "imagenet_wnids.txt").read_text().splitlines()
    wnids = tuple(line.split("\t")[0] for line in lines)
    assert imagenet.wnids() == wnids
    restricted = {wnids[index] for members in imagenet.RESTRICTED.values() for index in members}
    photos = {
        file.parent.name: file
        for file in sorted((SHARED / "imagenet_samples").glob("*/*"))
        if file.parent.name in restricted
    }
    assert photos.keys() == restricted
    train = {wnid: {f"{wnid}_1.JPEG": file.read_bytes()} for wnid, file in photos.items()}
    numbers = {wnid: i for i, wnid in enumerate(imagenet.validation_labels(), 1)}
    names = {wnid: f"ILSVRC2012_val_{numbers[wnid]:08d}.JPEG" for wnid in photos}
    write_tars(tmp_path, train, {names[w]: file.read_bytes() for w, file in photos.items()})
    data_dir = tmp_path / "data"
    result = prepare_command(
        f"--config.tars={tmp_path}", f"--workdir={data_dir}", "--config.partial=True"
    )
    assert result.returncode == 0, result.stderr
    assert "train 203 images of 203 classes, validation 203 images" in result.stdout
    wnid_of = {"train": lambda name: name[:9], "test": {n: w for w, n in names.items()}.get}
    for split, stored_split in (("train", "train"), ("test", "validation")):
        source = records.records("imagenet2012", str(data_dir), split)
        kept = stored(data_dir, stored_split)
        assert len(source) == len(kept) == 203 and source.class_names == wnids
        for label, (name, stored_label, content) in zip(source.labels, kept, strict=True):
            wnid = wnid_of[split](name)
            assert wnids[label] == wnids[stored_label] == wnid
            assert content == photos[wnid].read_bytes()
        assert source[0]["image"].ndim == 3
        view = imagenet.restricted(source)
        assert view.class_names == tuple(imagenet.RESTRICTED) and len(view) == 203
        for old, new in zip(source.labels, view.labels, strict=True):
            assert old in imagenet.RESTRICTED[view.class_names[new]]
