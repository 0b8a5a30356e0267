"""A hub on this machine: what the Hugging Face Hub answers its client, and a small network."""

import hashlib
import io
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from golden.weights import draw
from rrjax.runs import network_files, published, torch_checkpoint, torch_files

COMMIT = "c0ffee" * 6 + "cafe"  # of every revision that is a name

# A small network as the publishers of ImageNet's would save it.
NAME = "resnet8_l2_eps3"
PATH = f"/{published.IMAGENET.repository}/resolve/{published.IMAGENET.revision}/{NAME}.ckpt"
SMALL = published.Published(
    published.IMAGENET._replace(classes=5, image_size=32, resize=32),
    f"{NAME}.ckpt",
    "resnet8",
    "l2",
    3.0,
    50.0,
)


class Hub:
    """Files by the path /OWNER/REPO/resolve/REVISION/FILE, and what was asked of them.

    cut: bytes left out at the end of a body. whole: where it is not set, half a body is sent and
    the rest is waited for; begun: a body was begun.
    """

    def __init__(self):
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.cut = 0
        self.begun, self.whole = threading.Event(), threading.Event()
        self.whole.set()
        self.url = ""


def handler(hub):
    """Return the class that answers for a hub."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_HEAD(self):
            self.answer(body=False)

        def do_GET(self):
            self.answer(body=True)

        def answer(self, body):
            if "/resolve/" in self.path:  # the client asks for other things too
                hub.asked.append(f"{self.command} {self.path}")
            content = hub.files.get(self.path)
            self.send_response(200 if content is not None else 404)
            if content is None:
                self.send_header("X-Error-Code", "EntryNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            revision = self.path.partition("/resolve/")[2].partition("/")[0]
            sent = content[: len(content) - hub.cut] if body else content
            self.send_header("X-Repo-Commit", revision if len(revision) == 40 else COMMIT)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            if body:
                hub.begun.set()
                half = len(sent) if hub.whole.is_set() else len(sent) // 2
                self.wfile.write(sent[:half])
                hub.whole.wait()
                self.wfile.write(sent[half:])

    return Handler


@contextmanager
def serve():
    """Run a hub at a free port while the context lasts."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(hub))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield hub
    finally:
        hub.whole.set()
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def serve_client(monkeypatch, folder):
    """Run a hub that the client asks, whose cache and ours lie in `folder`."""
    from huggingface_hub import constants, file_download

    with serve() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))
        monkeypatch.setattr(file_download.time, "sleep", lambda _: None)
        monkeypatch.setenv("HOME", str(folder))
        yield hub


def state(seed=0):
    """A state dict of the network that SMALL describes."""
    model = published.training(SMALL).model
    return draw(torch_checkpoint.shapes(network_files.template(model, 32)), seed)


def checkpoint(weights):
    """A file of the weights as their publishers save one."""
    wrapped = torch_checkpoint.wrap(weights, published.training(SMALL).model)
    wrapped = {
        name.replace("module.model.", "module.model.model."): x for name, x in wrapped.items()
    }
    content = io.BytesIO()
    torch_files._write_zip({"model": wrapped, "epoch": 89}, content)
    return content.getvalue()
