"""Published networks by name, and files of the hub: fetched once, checked and kept."""

import errno
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

import rrjax
from commands import free_address
from hub import NAME, PATH, SMALL, checkpoint, serve_client, state
from paths import GOLDEN, ROOT
from rrjax import BadInput, data, models, runs
from rrjax.core.vmapped import in_local_parts
from rrjax.runs import defaults, hub, network_files, published, torch_checkpoint
from rrjax.train.tasks import autoencoder, finetune

client = pytest.importorskip("huggingface_hub")
from huggingface_hub import constants, file_download  # noqa: E402  only where it is installed


@pytest.fixture(scope="module")
def content():
    return checkpoint(state())


@pytest.fixture
def server(monkeypatch, tmp_path):
    """An empty hub, and empty caches of the client's and of ours."""
    with serve_client(monkeypatch, tmp_path) as served:
        monkeypatch.setitem(published.NETWORKS, NAME, SMALL)
        yield served


def test_a_name_gives_the_logits_of_its_weights(server, content, tmp_path):
    server.files[PATH] = content
    network = rrjax.load(NAME)
    images = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    logits, _ = network(images, stages=())
    model = models.create(network.config.model)
    shapes = network_files.template(network.config.model, 32)
    apply = models.frozen(model, torch_checkpoint.from_state_dict(state(), shapes))
    expected = in_local_parts(lambda x: jax.vmap(apply)(x)[0], 2, images)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5 * scale)
    attack, files = network.config.attack, network.config.data
    assert (attack.norm, attack.eps, files.name, files.path) == ("l2", 3.0, "folder", "")
    assert [line for line in server.asked if "GET" in line] == [f"GET {PATH}"]


def test_the_second_time_needs_no_hub_and_no_client(server, content, tmp_path, monkeypatch):
    server.files[PATH] = content
    _, first = published.read(NAME)
    asked = len(server.asked)
    for path in (tmp_path / "hub").rglob("*"):
        if path.is_file():
            path.unlink()
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    _, second = published.read(NAME)
    jax.tree.map(np.testing.assert_array_equal, first, second)
    assert len(server.asked) == asked


def test_a_damaged_copy_is_made_anew(server, content, tmp_path):
    server.files[PATH] = content
    _, first = published.read(NAME)
    (kept,) = (tmp_path / ".cache/rrjax/networks").glob("*.safetensors")
    damaged = bytearray(kept.read_bytes())
    damaged[-3] ^= 1
    kept.write_bytes(damaged)
    _, second = published.read(NAME)
    jax.tree.map(np.testing.assert_array_equal, first, second)


def refusal(name=NAME):
    with pytest.raises(BadInput) as caught:
        rrjax.load(name)
    message = str(caught.value)
    assert "\n" not in message
    return message


def nothing_kept(tmp_path):
    """No network is left that a load would take for one."""
    return not [*(tmp_path / ".cache/rrjax/networks").glob("[!.]*")]


def test_a_changed_file_is_refused_until_the_first_comes_back(server, content, tmp_path):
    server.files[PATH] = content
    published.read(NAME)
    (kept,) = (tmp_path / ".cache/rrjax/networks").glob("*.safetensors")
    kept.unlink()
    for blob in (tmp_path / "hub").rglob("blobs/*"):
        blob.unlink()
    changed = state()
    changed["fc.bias"] += 1
    server.files[PATH] = checkpoint(changed)
    message = refusal()
    assert f"{NAME}: not the file that was first fetched (sha256 " in message
    assert not [*kept.parent.glob("*.safetensors")]
    server.files[PATH] = content
    published.read(NAME)


def test_no_network_is_one_line(server, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        template = f"http://{free_address()}/{{repo_id}}/{{revision}}/{{filename}}"
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        assert " does not answer ([Errno 111] Connection refused): connect, or copy" in refusal()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "is not on this machine yet, and the hub " in refusal()
    assert nothing_kept(tmp_path)


def test_without_the_client_the_extra_is_named(server, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert "not installed: pip install 'rrjax[hub]'" in refusal()
    assert nothing_kept(tmp_path)


def test_a_file_that_the_hub_does_not_have_is_one_line(server, tmp_path):
    assert "the hub has no such file" in refusal()
    assert "the hub has no such file" in refusal("hf:someone/networks/none.pt")
    assert "give hf:OWNER/REPO" in refusal("hf:someone")
    assert nothing_kept(tmp_path)


def test_a_web_page_is_refused_and_forgotten(server, content, tmp_path):
    server.files[PATH] = b"\n<!doctype html><html><title>Log in to this network</title></html>"
    assert "a web page came in its place" in refusal()
    assert nothing_kept(tmp_path)
    server.files[PATH] = content
    published.read(NAME)


def test_a_body_that_is_cut_off_is_refused_and_begun_anew(server, content, tmp_path):
    server.files[PATH], server.cut = content, 1000
    assert "the download failed (Consistency check failed" in refusal()
    assert nothing_kept(tmp_path)
    server.cut = 0
    published.read(NAME)


def test_a_damaged_file_is_fetched_again(server, content, tmp_path):
    server.files[PATH] = content[:-1000]
    assert "damaged" in refusal()
    assert nothing_kept(tmp_path)
    server.files[PATH] = content
    published.read(NAME)


def test_another_network_in_its_place_is_refused(server, tmp_path):
    other = state()
    del other["fc.bias"]
    server.files[PATH] = checkpoint(other)
    assert "not the published resnet8 (state dict key " in refusal()
    assert nothing_kept(tmp_path)


def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_one_line(server, content, monkeypatch, tmp_path):
    server.files[PATH] = content
    with monkeypatch.context() as patch:
        patch.setattr(file_download, "http_get", full)
        assert "no space left for it: make room, or set HF_HOME" in refusal()
    with monkeypatch.context() as patch:
        patch.setattr("rrjax.runs.safetensors.dump", full)
        assert ".safetensors: cannot be written (No space left on device)" in refusal()
    with monkeypatch.context() as patch:
        patch.setattr(published, "replace_text", full)
        assert ".json: cannot be written (No space left on device); make room" in refusal()
    published.read(NAME)


def test_without_a_home_folder_the_variable_is_named(server, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    assert "set HOME to a writable folder" in refusal()


def test_two_at_once_fetch_once(server, content):
    server.files[PATH] = content
    with ThreadPoolExecutor(2) as threads:
        (_, first), (_, second) = threads.map(published.read, (NAME, NAME))
    jax.tree.map(np.testing.assert_array_equal, first, second)
    assert [line for line in server.asked if "GET" in line] == [f"GET {PATH}"]


READ = """
import sys
from rrjax.runs import published
shared = published.IMAGENET._replace(classes=5, image_size=32, resize=32)
name = sys.argv[1]
small = published.Published(shared, name + ".ckpt", "resnet8", "l2", 3.0, 50.0)
published.NETWORKS[name] = small
published.read(name)
print("read")
"""


@pytest.mark.slow
def test_a_process_killed_in_the_middle_leaves_nothing_and_the_next_goes_on(
    server, content, tmp_path
):
    server.files[PATH] = content
    server.whole.clear()
    environment = os.environ | {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-c", READ, NAME]

    def begin():
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE)

    with begin() as killed:
        assert server.begun.wait(120)
        with begin() as waiting:
            killed.send_signal(signal.SIGKILL)
            assert nothing_kept(tmp_path)
            server.whole.set()
            assert waiting.communicate()[0].endswith(b"read\n") and waiting.returncode == 0
    asked = len(server.asked)
    published.read(NAME)
    assert len(server.asked) == asked


def test_a_file_of_the_hub_is_read_as_it_lies(server):
    golden = (GOLDEN / "torch_files/transfer_zip.ckpt").read_bytes()
    server.files["/someone/networks/resolve/main/small/net.ckpt"] = golden
    server.files[f"/someone/networks/resolve/{'a' * 40}/net.ckpt"] = golden
    for address in (
        "hf:someone/networks/small/net.ckpt",
        f"hf:someone/networks/net.ckpt@{'a' * 40}",
    ):
        model = rrjax.load(address, data={"image_size": 32}).config.model
        assert (model.name, model.width, model.classes) == ("resnet8", 2, 5)


def test_an_address_is_read():
    assert hub.parse("hf:a/b") == ("a/b", "", "main")
    assert hub.parse("hf:a/b@v1.0") == ("a/b", "", "v1.0")
    assert hub.parse("hf:a/b/c/d.pt@x/y") == ("a/b", "c/d.pt", "x/y")


def test_the_table_is_of_known_networks():
    assert len(published.NETWORKS) == 67
    network = published.NETWORKS["resnet50_linf_eps4.0"]
    assert (network.file, network.norm, network.eps) == (
        "resnet50_linf_eps4.0.ckpt",
        "linf",
        4 / 255,
    )
    assert network.accuracy == 63.86
    assert published.NETWORKS["densenet_l2_eps3"].architecture == "densenet161"
    here = {each.architecture for each in published.NETWORKS.values()} & models.MODELS.keys()
    assert {"resnet18", "resnet50", "vgg16_bn"} <= here
    for name, network in published.NETWORKS.items():
        config = published.training(network)
        assert config.keys() == defaults.get_config().keys() and name in network.file
        if network.architecture in models.MODELS:
            models.create(config.model)


def test_the_lines_of_the_page_invert_a_photograph(server, content, tmp_path, monkeypatch):
    server.files[PATH] = content
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    Image.fromarray(pixels).save("photograph.jpg")
    code = (ROOT / "docs/published.md").read_text().partition("```python")[2].partition("```")[0]
    for old, new in (("resnet50_l2_eps3", NAME), ("steps=1000", "steps=2")):
        assert old in code
        code = code.replace(old, new)
    exec(code, names := {})
    assert names["result"].value < 2
    with Image.open("inverted.png") as inverted:
        assert inverted.size == (32, 32)


def test_the_page_has_the_table():
    page = (ROOT / "docs/published.md").read_text()
    assert f"<!-- networks -->\n{published.table()}\n<!-- end of networks -->" in page
    for fact in published.IMAGENET[:4]:
        assert fact in page


def test_a_folder_of_photographs_is_data_enough_for_what_needs_no_labels(tmp_path):
    (tmp_path / "test/mine").mkdir(parents=True)
    pixels = np.full((40, 50, 3), 51, np.uint8)
    for i in range(2):
        Image.fromarray(pixels).save(tmp_path / f"test/mine/{i}.png")
    config = published.training(SMALL).unlock()
    config.data.path = str(tmp_path)
    images = data.eval_images(config, 2, np.random.default_rng(0))
    np.testing.assert_allclose(images, np.full((2, 32, 32, 3), 0.2), atol=1e-6)
    with pytest.raises(BadInput, match="has 1 classes and the model 5"):
        data.eval_examples(config, 2, np.random.default_rng(0))


def test_every_field_that_takes_a_network_takes_a_name(server, content, tmp_path):
    server.files[PATH] = content
    _, expected = published.read(NAME)
    study = defaults.study("any").unlock()
    study.update(standard="", robust=NAME, data={"name": "", "path": str(tmp_path)})
    network = runs.load_networks(study)["robust"]
    assert network.config.data.path == str(tmp_path)
    finetuned = published.training(SMALL).unlock()
    finetuned.start_from = NAME
    decoder = ConfigDict({"model": {"encoder": NAME}})
    runs.save_network(tmp_path / "copy", network)
    for variables in (
        network.variables,
        finetune.source(finetuned, tmp_path / "run"),
        autoencoder.source(decoder, tmp_path / "decoder").variables,
        runs.load(tmp_path / "copy").variables,
    ):
        jax.tree.map(np.testing.assert_array_equal, variables, expected)
