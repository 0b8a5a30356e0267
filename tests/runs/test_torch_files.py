"""Torch's files: what torch wrote comes back; what is hostile, damaged or no file does nothing.

tests/golden/make_torch_files.py wrote the golden ones with torch; the others are written here.
"""

import io
import pickle
import struct
import sys
import tracemalloc
import zipfile
from collections import OrderedDict

import ml_dtypes
import numpy as np
import pytest

from golden.weights import draw
from paths import GOLDEN
from rrjax import BadInput
from rrjax.runs import safetensors, torch_checkpoint, torch_files, torch_pickle

FILES = GOLDEN / "torch_files"
MEAN, STD = (0.4717, 0.4499, 0.3837), (0.2600, 0.2516, 0.2575)
WEIGHT = np.arange(6, dtype=np.float32).reshape(2, 3)


def packed(members, compression=zipfile.ZIP_STORED):
    """Return a zip of (name, content) pairs."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return file.getvalue()


def zipped(pickled, *storages):
    """Return torch's zip of a pickle and its storages' bytes."""
    numbered = [(f"a/data/{i}", content) for i, content in enumerate(storages)]
    return packed([("a/data.pkl", pickled), *numbered])


def streamed(pickled, *storages, keys=None, little=True):
    """Return torch's older stream of a pickle and its float storages."""
    keys = [str(i) for i in range(len(storages))] if keys is None else keys
    head = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": little})
    content = b"".join(pickle.dumps(part, 2) for part in head) + pickled + pickle.dumps(keys, 2)
    return content + b"".join(struct.pack("<q", len(s) // 4) + s for s in storages)


def tensor(size, stride, numel=6, offset=0, kind=b"FloatStorage", view=None):
    """Return a pickle of {"fc.weight": a view of storage "0"}, as torch would write it."""

    def plain(value):
        return pickle.dumps(value, 2)[2:-1]

    storage = b"(" + plain("storage") + b"ctorch\n" + kind + b"\n" + plain("0") + plain("cpu")
    storage += plain(numel) + (b"" if view is None else plain(view)) + b"tQ"
    arguments = storage + plain(offset) + plain(size) + plain(stride) + b"\x89}"
    return (
        b"\x80\x02}X\x09\0\0\0fc.weightctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tRs."
    )


def read(tmp_path, content):
    path = tmp_path / "file.pt"
    path.write_bytes(content)
    return torch_files.read(path)


def refused(tmp_path, content):
    """Return the one line with which a file is refused."""
    with pytest.raises(BadInput) as caught:
        read(tmp_path, content)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'file.pt'}: ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("name", "checked", "wrapped"),
    [
        ("torchvision_stream.pth", False, False),
        ("torchvision_zip.pth", True, False),
        ("plain.safetensors", False, False),
        ("robustness_stream.pt", False, True),
        ("robustness_zip.pt", True, True),
        ("transfer_zip.ckpt", True, True),
    ],
)
def test_each_tools_file_gives_the_weights_that_torch_saved(name, checked, wrapped):
    contents = torch_files.read(FILES / name)
    assert contents.checked == checked
    assert contents.facts == ({"epoch": 61, "adv_prec1": 81.5} if wrapped else {})
    counts = [key for key in contents.state if key.endswith("num_batches_tracked")]
    assert len(counts) == (0 if name == "torchvision_stream.pth" else 18 if wrapped else 9)
    shapes = {
        key: value.shape
        for key, value in torch_files.read(FILES / "torchvision_zip.pth").state.items()
    }
    names = [key for key in shapes if not key.endswith("num_batches_tracked")]
    state, mean, std, _, aside = torch_checkpoint.unwrap(contents.state, names)
    assert state.keys() == set(names) and len(names) == 47 and not aside
    expected = draw(shapes)
    for key, value in state.items():
        np.testing.assert_array_equal(value, expected[key])
        assert value.dtype == expected[key].dtype
    if wrapped:
        np.testing.assert_allclose((mean, std), (MEAN, STD), rtol=1e-6)
    else:
        assert mean is None and std is None


@pytest.mark.parametrize("name", ["strides_stream.pt", "strides_zip.pt"])
def test_strides_offsets_and_shared_storages_are_honoured(name):
    base = np.arange(24, dtype=np.float32)
    cut = base[2:6] - 3
    expected = {
        "whole": base.reshape(2, 3, 4),
        "transposed": base.reshape(4, 6).T,
        "permuted": base.reshape(2, 3, 4).transpose(2, 0, 1),
        "offset": base[5:9],
        "stepped": base[1::3],
        "expanded": np.full((3, 2), 7, np.float32),
        "scalar": np.float32(7),
        "empty": base[:0],
        "parameter": base[20:],
        "bfloat16": cut.astype(ml_dtypes.bfloat16),
        "float16": cut.astype(np.float16),
        "float64": cut.astype(np.float64),
        "int64": cut.astype(np.int64),
        "uint8": cut.astype(np.int8).view(np.uint8),
    }
    state = torch_files.read(FILES / name).state
    assert state.keys() == expected.keys()
    for key, value in expected.items():
        assert state[key].dtype == value.dtype, key
        np.testing.assert_array_equal(state[key], value, err_msg=key)
    views = [state[key] for key in ("whole", "transposed", "offset", "parameter", "expanded")]
    assert all(np.shares_memory(views[0], view) for view in views)
    assert not state["whole"].flags.writeable


def test_a_storage_that_is_a_view_of_another_is_read_from_its_start(tmp_path):
    # What torch before 0.4 wrote: (key of the view, its start, its length).
    pickled = tensor((2,), (1,), view=("1", 3, 2))
    assert read(tmp_path, streamed(pickled, WEIGHT.tobytes())).state["fc.weight"].tolist() == [3, 4]
    message = refused(tmp_path, streamed(tensor((3,), (1,), view=("1", 3, 2)), WEIGHT.tobytes()))
    assert "beyond its storage of 2 numbers" in message


class Runs:
    """Pickled, it is a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def hostile(marker):
    """Pickles that, loaded by Python, would write the marker or import something."""
    command = f"open({str(marker)!r}, 'w')"
    return {
        "call": pickle.dumps(Runs(eval, command), 2),
        "call of protocol 4": pickle.dumps(Runs(eval, command), 4),
        "protocol 0": pickle.dumps(Runs(eval, command), 0),
        "inst": b"(S" + repr(command).encode() + b"\nibuiltins\neval\n.",
        "obj": b"(cbuiltins\neval\nS" + repr(command).encode() + b"\no.",
        "import": b"\x80\x02cantigravity\nfly\n)R.",
        "state": b"\x80\x02ccollections\nOrderedDict\n)R}X\x0c\0\0\0__setstate__"
        b"cbuiltins\nprint\nsb.",
    }


@pytest.mark.parametrize("kind", hostile(""))
def test_a_pickle_that_would_run_code_did_not(kind, tmp_path, capsys):
    marker = tmp_path / "ran"
    evil = hostile(marker)[kind]
    if kind not in ("import", "state"):  # the pickles are what they say
        pickle.loads(evil).close()
        marker.unlink()
    weight = tensor((2, 3), (3, 1))
    body, inside = weight[2:-1], evil.removeprefix(b"\x80\x02")[:-1]
    for content in (
        b"\x80\x02}X\x05\0\0\0model" + body + b"sX\x08\0\0\0schedule" + inside + b"s.",
        b"\x80\x02}X\x08\0\0\0schedule" + inside + b"sX\x05\0\0\0model" + body + b"s.",
    ):
        if kind != "call of protocol 4":  # framed: it stands alone
            state = read(tmp_path, zipped(content, WEIGHT.tobytes())).state
            np.testing.assert_array_equal(state["fc.weight"], WEIGHT)
    if kind != "state":  # an OrderedDict, whatever its state
        assert "not a state dict" in refused(tmp_path, zipped(evil))
        assert "not a state dict" in refused(tmp_path, streamed(evil))
    assert not marker.exists()
    assert "antigravity" not in sys.modules
    assert capsys.readouterr().out == ""


def test_a_saved_module_is_named(tmp_path):
    pickled = b"\x80\x02ctorchvision.models.resnet\nResNet\n)\x81}b."
    message = "holds an object of torchvision.models.resnet.ResNet, not a state dict"
    assert message in refused(tmp_path, zipped(pickled))


@pytest.mark.parametrize(
    "pickled",
    [
        b"\x80\x02}r\xff\xff\xff\xff.",  # a memo of 2**32 places
        b"\x80\x02B\xff\xff\xff\x7fx.",  # two gigabytes of bytes
        b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"x.",
        b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"}.",  # a frame
        b"\x80\x02X\xff\xff\xff\xffx.",
        b"\x80\x02\x8b\xff\xff\xff\x7fx.",  # an integer of two gigabytes
        tensor((10**12,), (0,)),
        tensor((10**6, 10**6), (0, 0)),
        tensor((2, 3), (3, 1), numel=10**12),
        # A list of pairs, made into an OrderedDict again and again.
        b"\x80\x02]("
        + b"".join(b"M" + struct.pack("<H", i) + b"K\x02\x86" for i in range(1000))
        + b"eq\x00("
        + b"ccollections\nOrderedDict\nh\x00\x85R" * 300
        + b"t}.",
    ],
)
def test_what_a_file_claims_is_not_allocated(pickled, tmp_path):
    for content in (zipped(pickled, WEIGHT.tobytes()), streamed(pickled, WEIGHT.tobytes())):
        tracemalloc.start()
        message = ""
        try:
            contents = read(tmp_path, content)
            assert contents.state == {}
        except BadInput as error:
            message = str(error)
        assert "\n" not in message
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2**22


def test_nesting_without_end_is_no_recursion(tmp_path):
    # Python's unpickler hashes the key, and the C stack ends.
    pickled = b"\x80\x02})" + b"\x85" * 300_000 + b"Ns."
    assert "a key of its state dict is an object of tuple" in refused(tmp_path, zipped(pickled))


@pytest.mark.parametrize(
    ("pickled", "message"),
    [
        (tensor((2, 4), (3, 1)), "beyond its storage of 6 numbers"),
        (tensor((2, 3), (3, 1), offset=1), "offset 1 reaches beyond its storage of 6"),
        (tensor((2, 3), (3, -1)), "of a size or stride that is no number"),
        (tensor((2, 3), (3,)), "of a size or stride that is no number"),
        (tensor((2, 3), (3, 1), offset=-1), "of a size or stride that is no number"),
        (tensor((2.0, 3), (3, 1)), "of a size or stride that is no number"),
        (tensor((1,) * 9, (1,) * 9), "of a size or stride that is no number"),
        (tensor((2, 3), (3, 1), numel=-6), "without a key or a size"),
        (tensor((2, 3), (3, 1), numel=7), "6 numbers of 7"),
        (tensor((2, 3), (3, 1), kind=b"QInt8Storage"), "a storage of torch.QInt8Storage"),
        (tensor((2, 3), (3, 1), kind=b"DoubleStorage"), "3 numbers of 6"),
        (b"\x80\x02}X\x01\0\0\0wK\x01s.", "key w is an object of int, not a tensor"),
        (b"\x80\x02}K\x01K\x01s.", "a key of its state dict is an object of int"),
        (b"\x80\x02}", "pickle exhausted"),
        (b"\x80\x02s.", "damaged (IndexError"),
        (b"\x80\x02\x82\x01.", "opcode EXT1, which torch does not write"),
    ],
)
def test_a_wrong_pickle_in_a_zip_is_named(pickled, message, tmp_path):
    assert message in refused(tmp_path, zipped(pickled, WEIGHT.tobytes()))


def test_axes_of_length_one_and_none_have_any_stride(tmp_path):
    contents = read(tmp_path, zipped(tensor((1, 3), (2**70, 2), 6), WEIGHT.tobytes()))
    assert contents.state["fc.weight"].tolist() == [[0, 2, 4]]
    contents = read(tmp_path, zipped(tensor((0, 3), (3, 1), 6, offset=100), WEIGHT.tobytes()))
    assert contents.state["fc.weight"].shape == (0, 3)


GOOD = tensor((2, 3), (3, 1))


def changed(content, old, new):
    assert content.count(old) == 1
    return content.replace(old, new)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n<!DOCTYPE html><html><body>Not found</body></html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "run git lfs pull"),
        (b"\x1f\x8b\x08\x00\x00", "is compressed by gzip: unpack it first"),
        (b"x" * 257 + b"ustar" + b"x" * 300, "is a tar"),
        (b"GIF89a..", "is neither torch's nor safetensors: it begins with b'GIF89a..'"),
        (pickle.dumps({"w": 1}), "a pickle, but not one that torch.save wrote"),
        (streamed(GOOD, WEIGHT.tobytes())[:-1], "truncated: storage 0 ends at byte"),
        (streamed(GOOD, WEIGHT.tobytes()[:20]), "of 6 numbers, but of 5 at its place"),
        (streamed(GOOD, keys=["1"]), "damaged (KeyError"),
        (streamed(GOOD, WEIGHT.tobytes(), little=False), "big-endian"),
        (zipped(GOOD, WEIGHT.tobytes())[:-30], "damaged (BadZipFile"),
        (zipped(GOOD), "damaged (KeyError"),
        (packed([("a/b.txt", b"")]), "a zip with 0 data.pkl"),
        (packed([("a/data.pkl", GOOD), ("b/data.pkl", GOOD)]), "a zip with 2 data.pkl"),
        (
            packed([("a/data.pkl", GOOD), ("a/code/n.py", b""), ("a/constants.pkl", b"")]),
            "is a program of TorchScript, not a state dict: in torch, torch.save(torch.jit.load(",
        ),
        (packed([("n/archive_format", b"pt2")]), "torch.save(torch.export.load(FILE).state_dict,"),
        (packed([("serialized_exported_program.json", b"")]), "is a program of torch.export, not"),
        (packed([("a/data.pkl", GOOD), ("a/byteorder", b"big")]), "big-endian"),
        (packed([("a/data.pkl", bytes(10**6))], zipfile.ZIP_DEFLATED), "compressed"),
        (changed(zipped(GOOD, WEIGHT.tobytes()), WEIGHT.tobytes(), bytes(24)), "Bad CRC-32"),
    ],
)
def test_what_is_no_whole_checkpoint_is_named(content, message, tmp_path):
    assert message in refused(tmp_path, content)


def test_a_distributed_folder_is_named_with_what_makes_a_file_of_it(tmp_path):
    folder = tmp_path / "step_5"
    folder.mkdir()
    (folder / ".metadata").touch()
    (folder / "__0_0.distcp").touch()
    for path in (folder, folder / "__0_0.distcp"):
        with pytest.raises(BadInput, match=r"torch.distributed: .*\.dcp_to_torch_save\(FOLDER"):
            torch_files.read(path)


WEIGHTS = {"fc.weight": WEIGHT, "fc.bias": WEIGHT[0]}
MORE = {"fc.weight": WEIGHT + 1, "fc.bias": WEIGHT[1]}


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (WEIGHTS, ""),
        ({"net": WEIGHTS, "acc": 93.5, "epoch": 3}, "net"),
        (
            {"model_state_dict": WEIGHTS, "optimizer": {"state": {"momentum": WEIGHT}}},
            "model_state",
        ),
        ({"checkpoint": {"state_dict": WEIGHTS, "epoch": 3}}, "checkpoint.state_dict"),
        ({"model": WEIGHTS, "criterion": {"weight": WEIGHT[0]}}, "model"),
        (WEIGHTS | {"epoch": 3, "arch": "resnet18"}, ""),
    ],
)
def test_a_state_dict_lies_under_any_name(value, name, tmp_path):
    torch_files.write(tmp_path / "net.pt", value)
    contents = torch_files.read(tmp_path / "net.pt")
    assert contents.name.startswith(name) and bool(contents.name) == bool(name)
    assert contents.facts == ({"epoch": 3} if "epoch" in str(value) else {})
    assert contents.state.keys() == WEIGHTS.keys()


def test_of_several_networks_the_user_chooses_one(tmp_path):
    path = tmp_path / "net.pt"
    torch_files.write(path, {"state_dict": WEIGHTS, "state_dict_ema": MORE})
    for weights in ("ema", "state_dict_ema"):
        contents = torch_files.read(path, weights)
        assert contents.name == "state_dict_ema"
        np.testing.assert_array_equal(contents.state["fc.weight"], WEIGHT + 1)
    assert torch_files.read(path, "state_dict").name == "state_dict"
    flags = "choose by weights=state_dict or weights=state_dict_ema"
    for weights in ("", "best", "dict"):
        with pytest.raises(BadInput, match=flags) as caught:
            torch_files.read(path, weights)
        assert "holds the weights of state_dict, state_dict_ema" in str(caught.value)


@pytest.mark.parametrize("name", ["a\nb", "\x1b[2Ja", "x" * 301])
def test_a_name_does_not_reach_the_terminal_raw(name, tmp_path):
    pickled, storages = torch_pickle.dump({name: WEIGHT})
    message = refused(tmp_path, zipped(pickled, *(s.tobytes() for s in storages)))
    assert message.isprintable() and len(message) < 500
    pickled = torch_pickle.dump({name: 1})[0]
    assert refused(tmp_path, zipped(pickled)).isprintable()


def test_members_twice_or_encrypted_or_overlapping_are_refused(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = packed([("a/data.pkl", GOOD), ("a/data.pkl", GOOD)])
    assert "two members of the name a/data.pkl" in refused(tmp_path, twice)
    content = bytearray(zipped(GOOD, WEIGHT.tobytes()))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    assert "a/data.pkl is encrypted" in refused(tmp_path, bytes(content))
    content = bytearray(zipped(GOOD, WEIGHT.tobytes()))
    for place in (20, 24):  # the sizes of the first member
        at = content.index(b"PK\x01\x02") + place
        content[at : at + 4] = struct.pack("<I", 10**6)
    assert "its members are larger than the file" in refused(tmp_path, bytes(content))


@pytest.mark.parametrize(
    ("path", "message"), [("nothing.pt", "No such file"), (".", "Is a directory")]
)
def test_a_path_that_cannot_be_read_is_named(path, message, tmp_path):
    with pytest.raises(BadInput, match=f"cannot be read .{message}"):
        torch_files.read(tmp_path / path)


def header(**entries):
    text = str(entries).replace("'", '"').encode()
    return struct.pack("<Q", len(text)) + text


VALID = {"dtype": "F32", "shape": [6], "data_offsets": [0, 24]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (header(w={"dtype": "F32", "shape": [3], "data_offsets": [0, 24]}), "invalid shape"),
        (header(w={"dtype": "F32", "shape": [6], "data_offsets": [4, 28]}), "invalid offset"),
        (header(w={"dtype": "F32", "shape": [7], "data_offsets": [0, 28]}), "not fully covered"),
        (header(w={"dtype": "F32", "shape": [-6], "data_offsets": [0, 24]}), "integer `-6`"),
        (header(w={"dtype": "F8_E4M3", "shape": [24], "data_offsets": [0, 24]}), "of F8_E4M3"),
        (header(w={"dtype": "F32", "shape": [5], "data_offsets": [0, 20]}), "not fully covered"),
        (header(w={"dtype": "F32", "shape": [6]}), "missing field `data_offsets`"),
        (changed(header(w=VALID, v=VALID), b'"v"', b'"w"'), "says a name twice"),
        (struct.pack("<Q", 2**62) + b'{"w"', "header too large"),
        (struct.pack("<Q", 10**6) + b'{"a":' + b"[" * 10**6, "recursion limit exceeded"),
    ],
)
def test_a_wrong_safetensors_header_is_named(content, message, tmp_path):
    assert message in refused(tmp_path, content + bytes(24))


@pytest.mark.parametrize(
    "name", ["torchvision_zip.pth", "torchvision_stream.pth", "plain.safetensors"]
)
def test_200_truncations_and_flips_are_refused_or_harmless(name, tmp_path):
    """A zip loads right or not at all; the others have no checksums for the numbers."""
    content = (FILES / name).read_bytes()
    right = torch_files.read(FILES / name)
    rng = np.random.default_rng(0)
    loaded = 0
    for i in range(200):
        damaged = np.frombuffer(content, np.uint8).copy()
        if i % 4 == 0:
            damaged = damaged[: rng.integers(len(content))]
        else:
            places = rng.integers(len(content), size=rng.integers(1, 4))
            damaged[places] ^= rng.integers(1, 256, len(places), np.uint8)
        contents, message = None, ""
        try:
            contents = read(tmp_path, damaged.tobytes())
        except BadInput as error:
            message = str(error)
        assert "\n" not in message
        if contents is None:
            continue
        loaded += 1
        assert sum(value.size for value in contents.state.values()) <= len(content)
        if right.checked:
            assert contents.state.keys() == right.state.keys()
            for key, value in contents.state.items():
                np.testing.assert_array_equal(value, right.state[key])
    assert 0 < loaded < 150


class _Reader(pickle.Unpickler):
    """Python's own unpickler, with stand-ins for torch's names."""

    def __init__(self, file, fetch):
        super().__init__(file)
        self.fetch = fetch

    def find_class(self, module, name):
        assert module in ("torch", "torch._utils", "collections")
        return self._tensor if name == "_rebuild_tensor_v2" else lambda: (module, name)

    def persistent_load(self, identity):
        tag, kind, key, location, numel = identity
        assert (tag, location) == ("storage", "cpu")
        dtype = {"FloatStorage": np.float32, "LongStorage": np.int64}[kind()[1]]
        numbers = np.frombuffer(self.fetch(key), dtype)
        assert numbers.size == numel
        return numbers

    @staticmethod
    def _tensor(numbers, offset, size, stride, gradient, hooks):
        assert (offset, gradient, hooks) == (0, False, ("collections", "OrderedDict"))
        return np.lib.stride_tricks.as_strided(
            numbers, size, [step * numbers.itemsize for step in stride]
        )


def test_what_is_written_is_what_python_and_we_read(tmp_path):
    kernel = np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1)
    count = np.array(3)
    value = {"model": {"a.weight": kernel, "b.weight": kernel, "n": count}, "epoch": 70_000}
    path = tmp_path / "net.pth"
    torch_files.write(path, value)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        names = [f"archive/{n}" for n in ("data.pkl", "byteorder", "data/0", "data/1", "version")]
        assert archive.namelist() == names
        loaded = _Reader(
            archive.open("archive/data.pkl"), lambda key: archive.read(f"archive/data/{key}")
        ).load()
    assert loaded["epoch"] == 70_000
    contents = torch_files.read(path)
    assert contents.facts == {"epoch": 70_000}
    for state in (loaded["model"], contents.state):
        assert state["n"].shape == () and state["n"] == 3
        for key in ("a.weight", "b.weight"):
            np.testing.assert_array_equal(state[key], kernel)
    assert np.shares_memory(contents.state["a.weight"], contents.state["b.weight"])
    first = path.read_bytes()
    torch_files.write(path, value)
    assert path.read_bytes() == first
    assert list(tmp_path.iterdir()) == [path]


def test_safetensors_written_come_back(tmp_path):
    state = {
        "b": np.arange(6, dtype=np.float32).reshape(2, 3).T,
        "a": np.ones(3, ml_dtypes.bfloat16),
        "n": np.array(3),
    }
    torch_files.write(tmp_path / "net.safetensors", state)
    loaded = torch_files.read(tmp_path / "net.safetensors").state
    assert loaded.keys() == state.keys()
    for key, value in state.items():
        assert loaded[key].dtype == value.dtype
        np.testing.assert_array_equal(loaded[key], value)
    text = (tmp_path / "net.safetensors").read_bytes()
    assert struct.unpack("<Q", text[:8])[0] % 8 == 0
    assert safetensors.loads(text).keys() == state.keys()


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(BadInput, match=r"net.npz: the suffix says the format; choose .pth"):
        torch_files.write(tmp_path / "net.npz", {})
    with pytest.raises(BadInput, match=r"net.pth: cannot be written .No such file"):
        torch_files.write(tmp_path / "no" / "net.pth", {})


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_come_back_from_the_machine(protocol):
    inner = ["x", "é"]
    value = {"a": [1, -1, 2**40, 1.5, None, True], "b": (inner, inner, {"c": ()}), 3: (1, 2, 3, 4)}
    assert torch_pickle.load(io.BytesIO(pickle.dumps(value, protocol))).value == value


def test_python_2s_ordered_dict_is_a_dict():
    pickled = (
        b"\x80\x02ccollections\nOrderedDict\n](](X\x01\0\0\0aK\x01e](X\x01\0\0\0bK\x02ee\x85R."
    )
    assert torch_pickle.load(io.BytesIO(pickled)).value == {"a": 1, "b": 2}


def test_a_set_is_a_list_and_an_ordered_dict_a_dict():
    value = ({1}, frozenset([2]), OrderedDict(a=b"3"), bytearray(b"4"))
    loaded = torch_pickle.load(io.BytesIO(pickle.dumps(value, 5))).value
    assert loaded == ([1], [2], {"a": b"3"}, b"4")


def test_a_safetensors_file_is_one_whatever_its_length(tmp_path):
    """The first byte of the header's length may be a pickle's mark."""
    header = b'{"fc.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}'
    header = header.ljust(0x180)
    path = tmp_path / "net.pt"
    path.write_bytes(len(header).to_bytes(8, "little") + header + WEIGHT.tobytes())
    assert path.read_bytes()[0] == 0x80
    np.testing.assert_array_equal(torch_files.read(path).state["fc.weight"], WEIGHT)
