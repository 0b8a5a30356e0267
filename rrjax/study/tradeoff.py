"""What does interpretability cost in accuracy? Each network's score against its accuracy.

Kim et al. (2019), section 3.3: over networks trained at rising strength, the score of an
attribution falls with clean accuracy; Pearson's and Spearman's correlations and the line of least
squares. It reads what the study `retraining` left in the same folder.

python -m rrjax.study --config=configs/tradeoff.py --workdir=runs/quickstart
"""

from ml_collections import ConfigDict
from scipy import stats

from rrjax import BadInput, runs
from rrjax.evaluate import roar
from rrjax.runs import figures
from rrjax.runs.report import center
from rrjax.study.comparison import by_norm, section

LEAST = 3  # networks, for a correlation to be one
NUMBERS = ("pearson", "spearman", "slope", "intercept")


COLUMNS = {
    "attribution": "attribution",
    "norm": "norm",
    "score": "score",
    "n": "n",
    "pearson": "pearson",
    "spearman": "spearman",
    "slope": "slope",
    "intercept": "intercept",
}


def run(config: ConfigDict, workdir: str) -> None:
    """Correlate config.scores with accuracy, for each attribution and norm of training.

    Raises:
      BadInput: where `retraining` left no results, or none that a line can be fitted to, and for a
        score that it did not make.
    """
    results = runs.read_results(workdir)
    if "retraining" not in results:
        raise BadInput(f"{workdir} holds no results of configs/retraining.py: run it there first")
    series = _series(results["retraining"]["rows"])
    _check(config, series, workdir)
    rows = [
        {"attribution": each, "norm": norm, "score": score, **_fit(line, roar.SCORES[score])}
        for (each, norm), line in series.items()
        for score in config.scores
    ]
    pictures = [_picture(workdir, score, series) for score in config.scores]
    text = [
        "The score of an attribution (retraining) against the accuracy of its network, over "
        "networks trained at several radii; a negative correlation is a trade-off. The line is "
        "that of least squares."
    ]
    shown = [row | {name: f"{row[name]:.3f}" for name in NUMBERS} for row in rows]
    part = section(config, "What interpretability costs", text, shown, COLUMNS, pictures)
    runs.publish(workdir, config, part, {"rows": rows})


def _check(config, series: dict, workdir: str) -> None:
    if not series:
        raise BadInput(
            f"{workdir}: fewer than {LEAST} networks of one norm were retrained with: name more in "
            "--config.more of configs/retraining.py"
        )
    for (_, norm), line in series.items():
        if len({center(row["accuracy"]) for row in line}) == 1:
            raise BadInput(f"{workdir}: the {norm} networks are all as accurate: no line fits them")
    row = next(iter(series.values()))[0]
    if not config.scores or any(roar.SCORES.get(score) not in row for score in config.scores):
        raise BadInput(f"scores={config.scores}: choose from ROAR, KAR and DiffROAR")


def _series(rows: list[dict]) -> dict[tuple[str, str], list[dict]]:
    """Group the networks' rows by attribution and norm, of those with enough networks."""
    named = [row for row in rows if "accuracy" in row and "blurred" not in row["attribution"]]
    return {key: line for key, line in by_norm(named).items() if len(line) >= LEAST}


def _fit(line: list[dict], score: str) -> dict[str, float]:
    accuracy, scores = ([center(row[key]) for row in line] for key in ("accuracy", score))
    fit = stats.linregress(accuracy, scores)
    return {
        "n": len(line),
        "pearson": fit.rvalue,
        "spearman": stats.spearmanr(accuracy, scores)[0],
        "slope": fit.slope,
        "intercept": fit.intercept,
    }


def _picture(workdir: str, score: str, series: dict) -> tuple[str, str]:
    points = {
        f"{each}, {norm}": [(row["accuracy"], row[roar.SCORES[score]]) for row in line]
        for (each, norm), line in series.items()
    }
    file = figures.save_points(
        workdir,
        f"tradeoff_{score}",
        points,
        xlabel="test accuracy, share of images",
        ylabel=f"{score}, difference of accuracy",
    )
    return file, f"{score}: a point a network"
