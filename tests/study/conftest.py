"""What several studies' tests look at, made once for all workers."""

import pytest

from commands import works
from rrjax.study import claims


@pytest.fixture(scope="session")
def decoders(made_once, trained):
    """A folder of two autoencoders, "standard" and "robust", which invert the tiny networks."""

    def make(root):
        small = ["--config.epochs=1", "--config.batch_size=718", "--config.model.stage=block2"]
        for name in ("standard", "robust"):
            run = [f"--config.model.encoder={trained / name}", f"--workdir={root / name}"]
            works("train", "--config=autoencoder_digits", *run, *small)

    return made_once("decoders", make)


@pytest.fixture(scope="session")
def every_claim_of():
    """Return (study, rows) -> what each claim of a study reads in its rows; it has to be there."""

    def read(study, rows):
        numbers = [claims._numbers(rows, claim) for claim in claims.CLAIMS if claim.study == study]
        assert numbers and all(numbers)
        return numbers

    return read
