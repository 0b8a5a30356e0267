"""The same work in PyTorch: MadryLab's `robustness` as it is, and a loop tuned for the purpose.

Both take robustness' own networks, so that package must be installed. It imports a module which
newer torchvision dropped, and moves batches to a GPU: without one, `.cuda()` does nothing here.
"""

import importlib
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass

import torch

if not torch.cuda.is_available():
    torch.Tensor.cuda = torch.nn.Module.cuda = lambda self, *_, **__: self
_dropped = types.ModuleType("torchvision.models.utils")
vars(_dropped)["load_state_dict_from_url"] = torch.hub.load_state_dict_from_url
sys.modules.setdefault(_dropped.__name__, _dropped)
attacker, cifar_models, imagenet_models = (
    importlib.import_module(f"robustness.{name}")
    for name in ("attacker", "cifar_models", "imagenet_models")
)

NORMS = {"l2": "2", "linf": "inf"}


def programs(config, training, kind: str, images, labels) -> dict[str, Callable[[], None]]:
    """Return name -> program: the `kind` of work that `rrjax.bench.speed` describes, in PyTorch.

    images: uint8 (N, H, W, 3); labels: int32 (N,). There are none for a network that robustness has
    not.
    """
    if training.model.name not in _names(training):
        return {}
    device = "cuda" if torch.cuda.is_available() else "cpu"
    x = torch.tensor(images, device=device).permute(0, 3, 1, 2).contiguous().float() / 255
    y = torch.tensor(labels, device=device).long()
    makers = {"robustness": _robustness, "PyTorch, tuned": _tuned}
    return {name: make(config, training, kind, x, y) for name, make in makers.items()}


def _network(training):
    """Make robustness' network of a training config."""
    return _names(training)[training.model.name](num_classes=training.model.classes)


def _names(training):
    family = imagenet_models if training.model.variant == "imagenet" else cifar_models
    return {name.lower(): value for name, value in vars(family).items() if callable(value)}


def _optimizer(training, parameters):
    c = training.optimizer
    return torch.optim.SGD(parameters, c.learning_rate, c.momentum, weight_decay=c.weight_decay)


def _finished(x):
    if x.is_cuda:
        torch.cuda.synchronize()


def _robustness(config, training, kind: str, x, y) -> Callable[[], None]:
    """Do what robustness' train.py, its evaluation and its inversion notebook do."""
    statistics = types.SimpleNamespace(
        mean=torch.tensor(training.model.mean), std=torch.tensor(training.model.std)
    )
    model = attacker.AttackerModel(_network(training), statistics).to(x.device)
    attack = training.attack
    options = {"constraint": NORMS[attack.norm], "eps": attack.eps, "step_size": attack.step_size}
    options["iterations"] = attack.steps
    if kind in ("adversarial", "standard"):
        options["make_adv"] = kind == "adversarial"
        return _robustness_training(model, _optimizer(training, model.parameters()), options, x, y)
    model.eval()
    if kind == "evaluation":
        steps = config.evaluation_steps
        options |= {"iterations": steps, "step_size": 2.5 * attack.eps / steps}
        return _robustness_evaluation(model, options, x, y)
    return _robustness_inversion(model, config.inversion_steps, x)


def _robustness_training(model, optimizer, options: dict, x, y) -> Callable[[], None]:
    model.train()

    def work():
        output, _ = model(x, target=y, **options)
        loss = torch.nn.functional.cross_entropy(output, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        _finished(x)

    return work


def _robustness_evaluation(model, options: dict, x, y) -> Callable[[], None]:
    def work():
        with torch.no_grad():
            model(x)
        model(x, target=y, make_adv=True, **options)
        _finished(x)

    return work


def _robustness_inversion(model, steps: int, x) -> Callable[[], None]:
    with torch.no_grad():
        (_, target), _ = model(x, with_latent=True)

    def distance(network, image, target):
        _, rep = network(image, with_latent=True, fake_relu=True)
        return torch.div((rep - target).norm(dim=1), target.norm(dim=1)), None

    options = {"constraint": "2", "eps": 1000, "step_size": 1, "targeted": True}
    options |= {"iterations": steps, "custom_loss": distance}

    def work():
        model(x.flip(0), target, make_adv=True, **options)
        _finished(x)

    return work


@dataclass(frozen=True)
class _Tuned:
    """A network as PyTorch runs it fast, and the images and labels it is measured with."""

    network: torch.nn.Module
    forward: Callable
    mean: torch.Tensor
    std: torch.Tensor
    half: bool
    x: torch.Tensor
    y: torch.Tensor

    def outputs(self, image, **options):
        with torch.autocast(image.device.type, torch.bfloat16, enabled=self.half):
            return self.forward((image - self.mean) / self.std, **options)

    def cross_entropy(self, image, reduction: str = "mean"):
        logits = self.outputs(image).float()
        return torch.nn.functional.cross_entropy(logits, self.y, reduction=reduction)

    def attacked(self, eps: float, steps: int, step_size: float):
        """Attack the images in eval mode."""
        self.network.eval()
        return self.search(
            self.x, lambda image: -self.cross_entropy(image, "none"), eps, step_size, steps
        )

    def search(self, start, losses: Callable, eps: float, step_size: float, steps: int):
        """Search without a gradient of the network."""
        for parameter in self.network.parameters():
            parameter.requires_grad_(False)
        best = _descend(start, losses, eps, step_size, steps)
        for parameter in self.network.parameters():
            parameter.requires_grad_(True)
        return best


def _descend(start, losses: Callable, eps: float, step_size: float, steps: int):
    """Descend from `start` by normalized steps in the l2 ball, and return the best iterate."""
    image, best, least = start, start, torch.full((len(start),), torch.inf, device=start.device)
    for step in range(steps + 1):
        image = image.detach().requires_grad_(step < steps)
        loss = losses(image).float()
        better = (loss < least).detach()
        least = torch.where(better, loss, least).detach()
        best = torch.where(better.view(-1, 1, 1, 1), image, best).detach()
        if step < steps:
            (gradient,) = torch.autograd.grad(loss.sum(), image)
            length = gradient.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
            delta = image.detach() - step_size * gradient / (length + 1e-10) - start
            delta = delta.flatten(1).renorm(2, 0, eps).view_as(delta)
            image = (start + delta).clamp(0, 1)
    return best


def _tuned(config, training, kind: str, x, y) -> Callable[[], None]:
    """Do it as PyTorch is fast: channels last, no gradient of the network in the attack.

    On a GPU also compiled, in the config's precision by autocast, float32 products in TF32.
    """
    if training.attack.norm != "l2":
        raise NotImplementedError(f"the tuned loop is of l2 alone, not {training.attack.norm}")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    vgg = training.model.name.startswith("vgg")  # robustness' takes a view of its features
    layout = torch.contiguous_format if vgg else torch.channels_last
    network = _network(training).to(x.device, memory_format=layout)
    mean, std = (
        torch.tensor(v, device=x.device).view(-1, 1, 1)
        for v in (training.model.mean, training.model.std)
    )
    forward = torch.compile(network) if x.is_cuda else network
    half = training.dtype == "bfloat16"
    tuned = _Tuned(network, forward, mean, std, half, x.contiguous(memory_format=layout), y)
    if kind in ("adversarial", "standard"):
        return _tuned_training(tuned, training, kind)
    network.eval()
    if kind == "evaluation":
        return _tuned_evaluation(tuned, training.attack.eps, config.evaluation_steps)
    return _tuned_inversion(tuned, config.inversion_steps)


def _tuned_training(tuned: _Tuned, training, kind: str) -> Callable[[], None]:
    optimizer = _optimizer(training, list(tuned.network.parameters()))
    attack = training.attack

    def work():
        image = tuned.x
        if kind == "adversarial":
            image = tuned.attacked(attack.eps, attack.steps, attack.step_size)
        tuned.network.train()
        loss = tuned.cross_entropy(image)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        _finished(tuned.x)

    return work


def _tuned_evaluation(tuned: _Tuned, eps: float, steps: int) -> Callable[[], None]:
    def work():
        with torch.no_grad():
            tuned.outputs(tuned.x)
        image = tuned.attacked(eps, steps, 2.5 * eps / steps)
        with torch.no_grad():
            tuned.outputs(image)
        _finished(tuned.x)

    return work


def _tuned_inversion(tuned: _Tuned, steps: int) -> Callable[[], None]:
    with torch.no_grad():
        _, target = tuned.outputs(tuned.x, with_latent=True)

    def distance(image):
        _, rep = tuned.outputs(image, with_latent=True)
        return (rep.float() - target).norm(dim=1) / target.norm(dim=1)

    def work():
        tuned.search(tuned.x.flip(0), distance, 1000.0, 1.0, steps)
        _finished(tuned.x)

    return work
