"""The commands of photographs: a network, image files, a picture."""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from rrjax import BadInput, cli
from rrjax.core import attribution, search
from rrjax.runs import frozen, networks, photographs

Columns = dict[str, np.ndarray]  # what is drawn: images (N, H, W, C) by their titles
SUFFIXES = (".png", ".jpg", ".jpeg", ".pdf", ".svg")


def define(commands: Any) -> None:
    """Add a parser for each command to those of `rrjax`, by argparse's add_parser."""
    for name, (run, define_own, line) in COMMANDS.items():
        parser = commands.add_parser(name, help=line, description=line)
        kind = "a decoder's run folder" if name == "reconstruct" else "a name, a run folder, a file"
        parser.add_argument("network", help=f"{kind} (rrjax list)")
        define_own(parser)
        if run is not _predict:
            parser.add_argument("-o", "--output", default=f"{name}.png", help="the picture")
        parser.add_argument("--batch-size", type=count, default=32, help="images at once")
        parser.set_defaults(run=lambda given, run=run: _run(run, given))


def _run(run: Callable[[Any, np.ndarray, argparse.Namespace], Columns], given: Any) -> None:
    """Load the network and the photographs, and draw what a command makes of them."""
    output = _output(given.output) if "output" in given else None
    cli.enable_compilation_cache()
    cli.check_devices()
    print(cli.devices(), flush=True)
    load = networks.load_autoencoder if run is _reconstruct else networks.load
    network = load(given.network)
    images = [photographs.read_image(path, network) for path in given.photographs]
    begun = time.perf_counter()
    with jax.default_matmul_precision("highest"):
        columns = run(network, np.stack(images) if images else np.empty(0), given)
    if output is None:
        return
    labels = [Path(path).name for path in given.photographs]
    figure = photographs.show(*columns.values(), titles=[*columns], labels=labels)
    try:
        figure.savefig(output, dpi=150)
    except OSError as error:
        raise BadInput(f"--output={output}: cannot be written ({error.strerror})") from error
    print(f"wrote {output} ({time.perf_counter() - begun:.1f} s)")


def _output(path: str) -> Path:
    """Return the file to write, which can be written."""
    file = Path(path)
    if file.suffix.lower() not in SUFFIXES or file.is_dir():
        raise BadInput(f"--output={path}: name a file with one of {', '.join(SUFFIXES)}")
    if not file.parent.is_dir():
        raise BadInput(f"--output={path}: there is no folder {file.parent}")
    return file


def number(text: str) -> float:
    """Return the number that a text is, such as 0.5 or 8/255."""
    top, slash, bottom = text.partition("/")
    if slash and not float(bottom):
        raise ValueError("divided by 0")  # argparse says which option
    return float(top) / float(bottom) if slash else float(top)


def count(text: str) -> int:
    """Return the number above 0 that a text is."""
    if int(text) < 1:
        raise ValueError("below 1")
    return int(text)


def _names(network: Any, images: np.ndarray) -> list[str]:
    """Say what a network takes images for, and how surely."""
    prediction = network.predict(images)
    sure = prediction.probabilities.max(-1)
    return [f"{name} ({p:.0%})" for name, p in zip(prediction.name, sure, strict=True)]


def _searched(network: Any, n: int, given: Any, steps: int, ask: Callable) -> Any:
    """Search in n images with a line that says how, and a bar where there is a terminal."""
    fields = ("step_size", "eps", "straight_through", "batch_size")
    options = {f: value for f in fields if (value := getattr(given, f)) is not None}
    steps = steps if given.steps is None else given.steps
    size = network.image_size
    length = search.step_size(size) if given.step_size is None else given.step_size
    print(f"{n} of {size}x{size} pixels: {steps} l2 steps of {length:.3g}", flush=True)
    options["steps"], total = steps, steps * -(-n // given.batch_size)
    with tqdm(total=total, disable=None, unit="step", desc=given.command) as bar:
        return ask(**options, tick=bar.update)


def _invert(network: frozen.Frozen, images: np.ndarray, given: Any) -> Columns:
    start = None if given.start is None else photographs.read_image(given.start, network)

    def ask(**options: Any) -> Any:
        return network.invert(images, start, **options)

    result = _searched(network, len(images), given, 500, ask)
    for path, distance, before, after in zip(
        given.photographs,
        result.value,
        _names(network, images),
        _names(network, result.x),
        strict=True,
    ):
        print(f"{path}: distance {distance:.3f}; {before}, inverted {after}")
    return {"photograph": images, "inverted": result.x}


def _visualize(network: frozen.Frozen, images: np.ndarray, given: Any) -> Columns:
    stage, _, channel = (given.channel or "").partition(":")
    if given.channel and not channel.isdecimal():
        raise BadInput(f"--channel={given.channel}: give a stage and a number, as layer3:5")
    chosen = {"unit": given.unit, "logit": given.logit}
    chosen |= {"channel": (stage, int(channel)) if given.channel else None}
    if len(images) > 1:
        raise BadInput(f"{len(images)} photographs: visualize starts from one, or from gray")
    titles = [f"unit {unit}" for unit in given.unit or ()] or given.logit or [given.channel]

    def ask(**options: Any) -> Any:
        return network.visualize(images[0] if len(images) else None, **chosen, **options).x

    grown = _searched(network, len(titles), given, 200, ask)
    grown = grown if grown.ndim == 4 else grown[None]
    for title, name in zip(titles, _names(network, grown), strict=True):
        print(f"{title}: seen as {name}")
    start = {"start": images} if len(images) else {}
    return start | {title: grown[i : i + 1] for i, title in enumerate(titles)}


def _towards(network: frozen.Frozen, images: np.ndarray, given: Any) -> Columns:
    def ask(**options: Any) -> Any:
        return network.towards(given.name, images if len(images) else None, **options)

    result = _searched(network, len(images) or 1, given, 60, ask)
    stack = result.x if len(images) else result.x[None]
    print(f"towards {given.name}: seen as {', '.join(_names(network, stack))}")
    return ({"photograph": images} if len(images) else {}) | {f"towards {given.name}": stack}


def _attack(network: frozen.Frozen, images: np.ndarray, given: Any) -> Columns:
    labels = None if given.label is None else [given.label] * len(images)
    options = {"steps": given.steps, "step_size": given.step_size, "norm": given.norm}
    options = {name: value for name, value in options.items() if value is not None}
    options |= {"eps": given.eps, "targeted": given.targeted, "batch_size": given.batch_size}
    attacked = network.attack(images, labels, **options)
    before, after = _names(network, images), _names(network, attacked)
    for path, x, y, change in zip(given.photographs, before, after, attacked - images, strict=True):
        size = f"l2 {np.linalg.norm(change):.3g}, linf {np.abs(change).max():.3g}"
        print(f"{path}: {x}, attacked {y}; {size}")
    change = attacked - images
    enlarged = (0.5 + 0.5 * change / (np.abs(change).max() or 1)).clip(0, 1)
    return {"photograph": images, "attacked": attacked, "change, enlarged": enlarged}


def _saliency(network: frozen.Frozen, images: np.ndarray, given: Any) -> Columns:
    labels = None if given.label is None else [given.label] * len(images)
    maps = network.saliency(images, labels, given.method, given.batch_size)
    sizes = np.abs(maps).sum(-1, keepdims=True)
    print(f"{given.method} of the logit; {', '.join(_names(network, images))}")
    top = np.quantile(sizes, 0.995, axis=(1, 2, 3), keepdims=True)
    top = np.where(top > 0, top, 1)  # of an image on no pixel of which the logit depends
    return {"photograph": images, given.method.replace("_", " "): (sizes / top).clip(0, 1)}


def _predict(network: frozen.Frozen, images: np.ndarray, given: Any) -> Columns:
    probabilities = network.predict(images).probabilities
    for path, row in zip(given.photographs, probabilities, strict=True):
        best = row.argsort()[::-1][: given.top]
        said = ", ".join(f"{network.classes[i]} {row[i]:.1%}" for i in best)
        print(f"{path}: {said}")
    return {}


def _reconstruct(decoder: networks.Autoencoder, images: np.ndarray, given: Any) -> Columns:
    decoded = decoder(images, given.batch_size).clip(0, 1)
    print(f"{len(images)} photographs, encoded and decoded")
    return {"photograph": images, "reconstructed": decoded}


def _define_search(parser: argparse.ArgumentParser, count: str = "+") -> None:
    parser.add_argument("photographs", nargs=count, help="image files")
    parser.add_argument("--steps", type=int, help="how many gradient steps")
    parser.add_argument("--step-size", type=number, help="their l2 length, pixels in [0,1]")
    parser.add_argument("--eps", type=number, default=1000.0, help="l2 radius about the start")
    parser.add_argument(
        "--straight-through",
        action=argparse.BooleanOptionalAction,
        help="whether gradients pass the last ReLU",
    )


def _define_invert(parser: argparse.ArgumentParser) -> None:
    _define_search(parser)
    parser.add_argument("--start", help="an image file to start from; mid-gray if not given")


def _define_visualize(parser: argparse.ArgumentParser) -> None:
    _define_search(parser, "*")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--unit", type=int, action="append", help="of the representation; repeat it")
    what.add_argument("--logit", action="append", help="a class; repeat it")
    what.add_argument("--channel", help="STAGE:NUMBER, as layer3:5")


def _define_towards(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="class", help="its name or number (rrjax info NETWORK)")
    _define_search(parser, "*")


def _define_attack(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photographs", nargs="+", help="image files")
    parser.add_argument("--label", help="the true class; what is predicted if not given")
    parser.add_argument("--targeted", action="store_true", help="move to --label, not away")
    parser.add_argument("--norm", choices=("l2", "linf"), help="that of training if not given")
    parser.add_argument("--eps", type=number, help="radius, as 0.5 or 8/255; that of training")
    parser.add_argument("--steps", type=int, help="how many gradient steps; 20")
    parser.add_argument("--step-size", type=number, help="their length; 2.5 * eps / steps")


def _define_saliency(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photographs", nargs="+", help="image files")
    parser.add_argument("--label", help="the class; what is predicted if not given")
    parser.add_argument("--method", choices=attribution.METHODS, default="gradient")


def _define_predict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photographs", nargs="+", help="image files")
    parser.add_argument("--top", type=count, default=5, help="classes to name")


def _define_reconstruct(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photographs", nargs="+", help="image files")


COMMANDS = {
    "predict": (_predict, _define_predict, "say what a network takes photographs for"),
    "invert": (_invert, _define_invert, "find images of the same representation"),
    "visualize": (_visualize, _define_visualize, "grow a unit, a logit or a channel"),
    "towards": (_towards, _define_towards, "move photographs, or gray, towards a class"),
    "attack": (_attack, _define_attack, "make adversarial examples of photographs"),
    "saliency": (_saliency, _define_saliency, "draw which pixels a logit depends on"),
    "reconstruct": (_reconstruct, _define_reconstruct, "encode and decode photographs"),
}
