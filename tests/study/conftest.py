"""What several studies' tests look at, made once for all workers."""

import pytest

from commands import works


@pytest.fixture(scope="session")
def decoders(made_once, trained):
    """A folder of two autoencoders, "standard" and "robust", which invert the tiny networks."""

    def make(root):
        small = ["--config.epochs=1", "--config.batch_size=718", "--config.model.stage=block2"]
        for name in ("standard", "robust"):
            run = [f"--config.model.encoder={trained / name}", f"--workdir={root / name}"]
            works("train", "--config=autoencoder_digits", *run, *small)

    return made_once("decoders", make)
