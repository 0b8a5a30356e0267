"""What takes long at the papers' scale, killed twice, ends as one left alone.

Reconstruction and anomaly detection, which decoders make, have their own tests of it.
"""

import pytest

N = "--config.n=3"
STUDIES = {
    "inversion": [N, "--config.targets=('test images',)", "--config.stage=block1"],
    "proximity": [N, "--config.radii=(0.5,)", "--config.free_steps=2", "--config.stage=block1"],
    "interpolation": [N, "--config.points=3", "--config.gallery=3", "--config.stage=block2"],
    "visualization": [N, "--config.units=2", "--config.observed=8"],
    "regularized": ["--config.units=2", "--config.observed=8", "--config.regularized_steps=2"],
    "manipulation": [N, "--config.units=2", "--config.observed=8"],
    "synthesis": [N, *(f"--config.{task}_steps=2" for task in ("fill", "coarse", "paint"))],
    "manifold": [N, "--config.manifold=pca", "--config.losses=('margin',)"],
    "retraining": ["--config.epochs=1", "--config.seeds=(0,)", "--config.percents=(50,)"],
}
FEW = ["--config.steps=2", "--config.batch_size=2"]
OF_TRAININGS = ["--config.train_n=100", "--config.test_n=50", "--config.controls=False"]


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES)
def test_a_study_that_is_killed_twice_ends_as_one_left_alone(
    study, trained, ends_as_one_left_alone
):
    alone = study not in ("interpolation", "proximity", "inversion")
    networks = [f"--config.standard={'' if alone else trained / 'standard'}"]
    networks += [f"--config.robust={trained / 'robust'}"]
    small = OF_TRAININGS if study == "retraining" else FEW
    ends_as_one_left_alone("study", f"--config={study}", *networks, *small, *STUDIES[study])


@pytest.mark.slow
def test_an_evaluation_that_is_killed_twice_ends_as_one_left_alone(trained, ends_as_one_left_alone):
    small = ["--config.standard=", f"--config.robust={trained / 'robust'}", "--config.n=35"]
    small += ["--config.batch_size=8", "--config.steps=(2,)", "--config.random_start=uniform"]
    ends_as_one_left_alone("evaluate", "--config=evaluate", *small)
