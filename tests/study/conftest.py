"""What several studies' tests look at, made once for all workers."""

import numpy as np
import pytest

from commands import results, works
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


class Killed(BaseException):
    """A kill: no handler of exceptions stops it."""


def _without(value, left_out):
    """Return plain values without the entries of a name."""
    if isinstance(value, dict):
        return {k: _without(v, left_out) for k, v in value.items() if k != left_out}
    return [_without(v, left_out) for v in value] if isinstance(value, list) else value


@pytest.fixture
def ends_as_one_left_alone(tmp_path, monkeypatch):
    """Return a check of a command: killed twice, it ends with the same bits, but for seconds.

    It is killed while it saves its second part, and then the fifth that it saves in all; at either
    it loses that part alone.
    """

    def check(*command):
        works(*command, f"--workdir={tmp_path / 'alone'}")
        saved = np.savez
        left = []

        def save(file, **arrays):
            saved(file, **arrays)
            left.append(None)
            if len(left) in (2, 5):
                raise Killed

        with monkeypatch.context() as patched:
            patched.setattr(np, "savez", save)
            for _ in range(2):
                with pytest.raises(Killed):
                    works(*command, f"--workdir={tmp_path / 'killed'}")
            works(*command, f"--workdir={tmp_path / 'killed'}")
        alone, killed = (
            sorted(path.name for path in (tmp_path / name).glob("cells/*/*.npz"))
            for name in ("alone", "killed")
        )
        # What was being saved at a kill was made again; nothing else was.
        assert alone == killed and len(left) == len(alone) + 2
        one, other = (_without(results(tmp_path / each), "seconds") for each in ("alone", "killed"))
        assert one == other
        for picture in (tmp_path / "alone/figures").iterdir():
            assert picture.read_bytes() == (tmp_path / "killed/figures" / picture.name).read_bytes()

    return check
