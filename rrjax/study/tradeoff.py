"""What does interpretability cost in accuracy? Each network's score against its accuracy.

Kim et al. (2019), section 3.3: over networks trained at rising strength, the score of an
attribution falls with clean accuracy; Pearson's and Spearman's correlations and the line of least
squares. It reads what the study `retraining` left in the same folder.

python -m rrjax.study --config=configs/tradeoff.py --workdir=runs/quickstart
"""

from scipy import stats

from rrjax import runs
from rrjax.errors import BadInput
from rrjax.runs import figures, report

LEAST = 3  # networks, for a correlation to be one


def run(config, workdir: str) -> None:
    """Correlate config.scores with accuracy, for each attribution and norm of training."""
    results = runs.read_results(workdir)
    if "retraining" not in results:
        raise BadInput(f"{workdir} holds no results of configs/retraining.py: run it there first")
    series = _series(results["retraining"]["rows"])
    if not series:
        raise BadInput(
            f"{workdir}: fewer than {LEAST} networks of one norm were retrained with: name more in "
            "--config.more of configs/retraining.py"
        )
    for (_, norm), line in series.items():
        if len({row["accuracy"]["mean"] for row in line}) == 1:
            raise BadInput(f"{workdir}: the {norm} networks are all as accurate: no line fits them")
    unknown = [score for score in config.scores if score not in next(iter(series.values()))[0]]
    if unknown or not config.scores:
        raise BadInput(f"scores={config.scores}: choose from ROAR, KAR and DiffROAR")
    rows = [
        {"attribution": each, "norm": norm, "score": score, **_fit(line, score)}
        for (each, norm), line in series.items()
        for score in config.scores
    ]
    points = {
        score: {
            f"{each}, {norm}": [(row["accuracy"]["mean"], row[score]["mean"]) for row in line]
            for (each, norm), line in series.items()
        }
        for score in config.scores
    }
    section = _section(rows, points, workdir)
    runs.publish(workdir, config, section, {"rows": rows})


def _series(rows: list[dict]) -> dict[tuple[str, str], list[dict]]:
    """Group the networks' rows by attribution and norm; standard ones belong to every norm."""
    named = [row for row in rows if "accuracy" in row and "blurred" not in row["attribution"]]
    series = {}
    for norm in sorted({row["norm"] for row in named if row["eps"]}):
        for each in dict.fromkeys(row["attribution"] for row in named):
            line = [
                row
                for row in named
                if row["attribution"] == each and (row["norm"] == norm or not row["eps"])
            ]
            if len(line) >= LEAST:
                series[each, norm] = line
    return series


def _fit(line: list[dict], score: str) -> dict[str, float]:
    accuracy = [row["accuracy"]["mean"] for row in line]
    scores = [row[score]["mean"] for row in line]
    fit = stats.linregress(accuracy, scores)
    return {
        "n": len(line),
        "pearson": fit.rvalue,
        "spearman": stats.spearmanr(accuracy, scores)[0],
        "slope": fit.slope,
        "intercept": fit.intercept,
    }


def _section(rows: list[dict], points: dict, workdir: str) -> report.Section:
    names = ("n", "pearson", "spearman", "slope", "intercept")
    return report.Section(
        name="tradeoff",
        title="What interpretability costs",
        text=[
            "The score of an attribution (retraining) against the accuracy of its network, over "
            "networks trained at several radii; a negative correlation is a trade-off. The line is "
            "that of least squares."
        ],
        header=["attribution", "norm", "score", *names],
        rows=[
            [row["attribution"], row["norm"], row["score"], str(row["n"])]
            + [f"{row[name]:.3f}" for name in names[1:]]
            for row in rows
        ],
        figures=[
            (
                figures.save_points(
                    workdir, f"tradeoff_{score}", series, xlabel="accuracy", ylabel=score
                ),
                f"{score}: a point a network",
            )
            for score, series in points.items()
        ],
    )
