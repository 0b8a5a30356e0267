"""Which claims of Engstrom et al. (2019) hold for the networks of a folder?

Each claim says that one number is less than another: of the standard and of the robust network, or
of one network before and after. It holds in a folder of studies if the whole 95 % interval of the
one lies below that of the other. The other studies make the numbers; this one reads them.

python -m rrjax.study --config=configs/claims.py --workdir=runs/small
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ml_collections import ConfigDict

from rrjax import runs
from rrjax.errors import BadInput
from rrjax.runs import report
from rrjax.study.comparison import Row

HEADER = ("claim", "figures", "study", "less", "greater", "holds")


@dataclass(frozen=True)
class Number:
    """A score of a network's row, and what the table calls it (by default as the network)."""

    network: str
    score: str
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One number is less than another, both of one study.

    text: ends with what the numbers are. figures: of the paper. where: fields that the rows of
    both numbers have, besides their networks.
    """

    text: str
    figures: str
    study: str
    where: Mapping[str, str | float] = field(default_factory=dict)
    less: Number
    greater: Number


def _within(eps: float) -> Claim:
    """Make the claim about the images within `eps`, which the config sets."""
    return Claim(
        text=(
            f"Within {eps:g} of an image lies one with the representation of another, of a "
            "standard network; distance left"
        ),
        figures="2, 4, 5",
        study="proximity",
        where={"radius": eps},
        less=Number("standard", "distance"),
        greater=Number("robust", "distance"),
    )


CLAIMS = (
    Claim(
        text="Inverted from noise, a robust representation gives its image back; correlation",
        figures="3, 13",
        study="inversion",
        where={"target": "test images", "start": "noise"},
        less=Number("standard", "correlation"),
        greater=Number("robust", "correlation"),
    ),
    Claim(
        text="... and photographs, unlike all it was trained on; correlation",
        figures="3, 14",
        study="inversion",
        where={"target": "photographs", "start": "noise"},
        less=Number("standard", "correlation"),
        greater=Number("robust", "correlation"),
    ),
    Claim(
        text="Inversions of one image agree, wherever they start; correlation",
        figures="6, 16",
        study="inversion",
        where={"target": "test images", "start": "noise"},
        less=Number("standard", "agreement_of_starts"),
        greater=Number("robust", "agreement_of_starts"),
    ),
    Claim(
        text="A unit shows the same, wherever one starts; correlation of what is gained",
        figures="7, 19-22",
        study="visualization",
        less=Number("standard", "agreement_of_starts"),
        greater=Number("robust", "agreement_of_starts"),
    ),
    Claim(
        text="A unit's maximizing input is like the images that excite it most; cosine",
        figures="8",
        study="activations",
        less=Number("standard", "cosine_with_most"),
        greater=Number("robust", "cosine_with_most"),
    ),
    Claim(
        text="No regularizer is needed for a unit's images to agree; correlation",
        figures="9, 10",
        study="regularized",
        where={"method": "plain"},
        less=Number("standard", "agreement_of_starts"),
        greater=Number("robust", "agreement_of_starts"),
    ),
    Claim(
        text="A feature that is added is seen; l2 norm of the change",
        figures="11, 23",
        study="manipulation",
        where={"stop": "largest"},
        less=Number("standard", "l2_distance"),
        greater=Number("robust", "l2_distance"),
    ),
    Claim(
        text=(
            "Half way between two robust representations is an image, half way between pixels is "
            "not; distance to a real one"
        ),
        figures="12, 17, 18",
        study="interpolation",
        less=Number("robust", "midpoint_to_real", name="midpoint"),
        greater=Number("robust", "blend_to_real", name="mixture"),
    ),
    Claim(
        text="Steps towards a class make an image of it; share that another network sees so",
        figures="follow-up",
        study="synthesis",
        where={"task": "translation"},
        less=Number("standard", "after"),
        greater=Number("robust", "after"),
    ),
    Claim(
        text="Steps towards the class fill in what is missing; PSNR, dB",
        figures="follow-up",
        study="synthesis",
        where={"task": "inpainting"},
        less=Number("robust", "before", name="before"),
        greater=Number("robust", "after", name="after"),
    ),
    Claim(
        text="Robust representations transfer better; accuracy of a linear probe",
        figures="not in it",
        study="transfer",
        less=Number("standard", "linear_probe"),
        greater=Number("robust", "linear_probe"),
    ),
)


def run(config: ConfigDict, workdir: str) -> None:
    """Write the table of claims; those whose study has not run are said to be untested."""
    folders = tuple(config.folders) or (workdir,)
    results = {folder: runs.read_results(folder) for folder in folders}
    claims = (_within(config.eps), *CLAIMS)
    studies = {claim.study for claim in claims}
    if not any(studies & set(result) for result in results.values()):
        raise BadInput(
            f"{', '.join(folders)}: no results of {', '.join(sorted(studies))}: run these studies "
            "first, as launch/reproduce.sh does"
        )
    runs.make_folder(workdir)
    rows = [_evaluated(claim, list(results.values())) for claim in claims]
    runs.publish(workdir, config, _section(rows, folders), {"rows": rows})


def _evaluated(claim: Claim, results: Sequence[Mapping]) -> Row:
    """Return both numbers of a claim, over all folders, and in how many of them it holds."""
    pairs = []
    for result in results:
        rows = result[claim.study]["rows"] if claim.study in result else []
        less, greater = (_summary(rows, claim, number) for number in (claim.less, claim.greater))
        if less and greater:
            pairs.append((less, greater))
    row = {"claim": claim.text, "figures": claim.figures, "study": claim.study}
    if not pairs:
        return row | {"of": 0}
    lesser, greater = zip(*pairs, strict=True)
    return row | {
        "less": {"name": claim.less.name or claim.less.network} | _combined(lesser),
        "greater": {"name": claim.greater.name or claim.greater.network} | _combined(greater),
        "holds": sum(less["high"] < greater["low"] for less, greater in pairs),
        "of": len(pairs),
    }


def _summary(rows: Sequence[Row], claim: Claim, number: Number) -> dict | None:
    """Return the number's score in the row that the claim is about; None if there is none."""
    fields = {"network": number.network, **claim.where}
    for row in rows:
        if all(row.get(key) == value for key, value in fields.items()):
            return row.get(number.score)
    return None


def _combined(summaries: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the only summary; of several the mean, the least and the greatest of their means."""
    if len(summaries) == 1:
        return {key: summaries[0][key] for key in ("mean", "low", "high")}
    means = [summary["mean"] for summary in summaries]
    return {"mean": sum(means) / len(means), "low": min(means), "high": max(means)}


def _section(rows: Sequence[Row], folders: Sequence[str]) -> report.Section:
    several = len(folders) > 1
    shown = "mean [least, greatest] of the folders" if several else "mean and 95 % interval"
    return report.Section(
        name="claims",
        title="Which claims hold?",
        text=[
            "Engstrom et al. (2019) and, follow-up, Santurkar et al. (2019). A claim says that one "
            "number is less than the other; it holds in a folder where the whole 95 % interval of "
            f"the one lies below that of the other. {shown}, of {', '.join(folders)}.",
        ],
        header=HEADER,
        rows=[[row["claim"], row["figures"], row["study"], *_cells(row)] for row in rows],
        figures=[],
    )


def _cells(row: Row) -> list[str]:
    if not row["of"]:
        return ["", "", "not run"]
    numbers = [
        f"{row[side]['name']} {report.with_interval(row[side])}" for side in ("less", "greater")
    ]
    if row["of"] == 1:
        return [*numbers, "yes" if row["holds"] else "no"]
    return [*numbers, f"{row['holds']} of {row['of']}"]
