"""The same work in PyTorch: MadryLab's `robustness` as it is, and a loop tuned for the purpose.

Both take robustness' own networks, so that package must be installed. It imports a module which
newer torchvision dropped, and moves batches to a GPU: without one, `.cuda()` does nothing here.
"""

import importlib
import sys
import types
from collections.abc import Callable

import torch

if not torch.cuda.is_available():
    torch.Tensor.cuda = torch.nn.Module.cuda = lambda self, *_, **__: self
_dropped = types.ModuleType("torchvision.models.utils")
_dropped.load_state_dict_from_url = torch.hub.load_state_dict_from_url
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
    made = {"robustness": _robustness, "PyTorch, tuned": _tuned}
    return {name: make(config, training, kind, x, y) for name, make in made.items()}


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
        optimizer = _optimizer(training, model.parameters())
        model.train()

        def work():
            output, _ = model(x, target=y, make_adv=kind == "adversarial", **options)
            loss = torch.nn.functional.cross_entropy(output, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            _finished(x)

        return work

    model.eval()
    if kind == "evaluation":
        steps = config.evaluation_steps
        options |= {"iterations": steps, "step_size": 2.5 * attack.eps / steps}

        def work():
            with torch.no_grad():
                model(x)
            model(x, target=y, make_adv=True, **options)
            _finished(x)

        return work

    with torch.no_grad():
        (_, target), _ = model(x, with_latent=True)

    def distance(network, image, target):
        _, rep = network(image, with_latent=True, fake_relu=True)
        return torch.div((rep - target).norm(dim=1), target.norm(dim=1)), None

    options = {"constraint": "2", "eps": 1000, "step_size": 1, "targeted": True}
    options |= {"iterations": config.inversion_steps, "custom_loss": distance}

    def work():
        model(x.flip(0), target, make_adv=True, **options)
        _finished(x)

    return work


def _tuned(config, training, kind: str, x, y) -> Callable[[], None]:
    """Do it as PyTorch is fast: channels last, no gradient of the network in the attack.

    On a GPU also compiled, in the config's precision by autocast, float32 products in TF32.
    """
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    vgg = training.model.name.startswith("vgg")  # robustness' takes a view of its features
    layout = torch.contiguous_format if vgg else torch.channels_last
    network = _network(training).to(x.device, memory_format=layout)
    x = x.contiguous(memory_format=layout)
    mean, std = (
        torch.tensor(v, device=x.device).view(-1, 1, 1)
        for v in (training.model.mean, training.model.std)
    )
    forward = torch.compile(network) if x.is_cuda else network
    half = training.dtype == "bfloat16"
    attack = training.attack
    parameters = list(network.parameters())

    def outputs(image, **options):
        with torch.autocast(x.device.type, torch.bfloat16, enabled=half):
            return forward((image - mean) / std, **options)

    def search(start, losses, eps, step_size, steps):
        """Descend from `start` by normalized steps in the l2 ball, and keep the best iterate."""
        for parameter in parameters:
            parameter.requires_grad_(False)
        image, best, least = start, start, torch.full((len(start),), torch.inf, device=x.device)
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
        for parameter in parameters:
            parameter.requires_grad_(True)
        return best

    def attacked(steps, step_size):
        network.eval()

        def fall(image):
            return -torch.nn.functional.cross_entropy(outputs(image).float(), y, reduction="none")

        return search(x, fall, attack.eps, step_size, steps)

    if attack.norm != "l2":
        raise NotImplementedError(f"the tuned loop is of l2 alone, not {attack.norm}")

    if kind in ("adversarial", "standard"):
        optimizer = _optimizer(training, parameters)

        def work():
            image = attacked(attack.steps, attack.step_size) if kind == "adversarial" else x
            network.train()
            loss = torch.nn.functional.cross_entropy(outputs(image).float(), y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            _finished(x)

        return work

    network.eval()
    if kind == "evaluation":
        steps = config.evaluation_steps

        def work():
            with torch.no_grad():
                outputs(x)
            image = attacked(steps, 2.5 * attack.eps / steps)
            with torch.no_grad():
                outputs(image)
            _finished(x)

        return work

    with torch.no_grad():
        _, target = outputs(x, with_latent=True)

    def distance(image):
        _, rep = outputs(image, with_latent=True)
        return (rep.float() - target).norm(dim=1) / target.norm(dim=1)

    def work():
        search(x.flip(0), distance, 1000.0, 1.0, config.inversion_steps)
        _finished(x)

    return work
