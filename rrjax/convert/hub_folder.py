"""A network of ours as a folder for the Hugging Face Hub, which `rrjax.load` reads again."""

import re
from pathlib import Path

from ml_collections import ConfigDict

from rrjax import BadInput, runs
from rrjax.convert import networks
from rrjax.runs import defaults, hub, network_files, torch_files
from rrjax.runs.files import replace_text


def write(config: ConfigDict, workdir: str | Path) -> None:
    """Write the network of `config.run` as model.safetensors, README.md and config.json.

    The weights have torch's names; config.json is that of the training, without the paths of this
    machine.

    Raises:
      BadInput: for a repository that is no OWNER/NAME, no license, and a workdir that holds a
        network already.
    """
    hub.check_repository(config.repository)
    if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", config.license):
        raise BadInput(
            f"config.license={config.license!r}: name the license of the weights as the hub does, "
            "as mit or cc-by-4.0"
        )
    folder = Path(workdir)
    weights, description = network_files.WEIGHTS, network_files.DESCRIPTION
    if (folder / weights).exists() or (folder / description).exists():
        raise BadInput(f"--workdir={workdir} holds a network already: choose another workdir")
    network = runs.load(config.run, config.checkpoint)
    runs.make_folder(folder)
    trained = networks.without_paths(network.config)
    torch_files.write(folder / weights, networks.torch_state(network.variables))
    replace_text(folder / "README.md", card(config, trained))
    # The last one: without it the folder is no network.
    replace_text(folder / description, trained.to_json(indent=2) + "\n")
    print(f"{config.run} -> {folder}: hf upload {config.repository} {folder}")


def card(config: ConfigDict, trained: ConfigDict) -> str:
    """Return README.md, with the hub's metadata in its header."""
    model, data = trained.model, trained.data
    return _CARD.format(
        license=config.license,
        tags="".join(f"- {tag}\n" for tag in config.tags),
        title=config.repository.partition("/")[2],
        repository=config.repository,
        model=network_files.described(model),
        classes=model.classes,
        shape=(data.image_size, data.image_size, len(model.mean)),
        data=data.name,
        adversary=defaults.trained_against(trained),
        mean=tuple(model.mean),
        std=tuple(model.std),
    )


_CARD = """---
license: {license}
library_name: rrjax
pipeline_tag: image-classification
tags:
{tags}---

# {title}

A {model} of {classes} classes for images {shape}, float in [0,1], trained against: {adversary}
(data: `{data}`).

```python
import rrjax

network = rrjax.load("hf:{repository}")
logits, reps = network(images)
```

`model.safetensors` has PyTorch's names and layouts; the network begins with (image - mean) / std,
mean {mean} and std {std}. `config.json` is the config of the training.
"""
