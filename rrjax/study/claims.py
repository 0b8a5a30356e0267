"""Which claims of the papers hold for the networks of a folder?

Each claim says that one number is less than another: of the standard and of the robust network, or
of one network before and after. The other studies make the numbers; this one reads them, and gives
every claim its verdict by one rule (`verdict`), of the difference of the two, example by example
where these are the same:

  yes      its whole 95 % interval is above 0, and it is at least the claim's `size`;
  in part  its whole 95 % interval is above 0, and it is smaller;
  no       its interval holds 0 or lies below it.

Over several folders, a seed each: yes or no where it is that in all of them, else in part.

python -m rrjax.study --config=configs/claims.py --workdir=runs/small
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
from ml_collections import ConfigDict

from rrjax import BadInput, runs
from rrjax.evaluate import metrics
from rrjax.runs import report
from rrjax.study.comparison import Row

NOT_RUN = "not run"
HEADER = ("claim", "source", "study", "less", "greater", "difference", "at least", "holds")


@dataclass(frozen=True)
class Number:
    """A score of a network's row, and what the table calls it (by default as the network)."""

    network: str
    score: str
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One number is less than another, both of one study.

    text: ends with what the numbers are, behind "; ". source: the paper's figures or section.
    where: fields that the rows of both numbers have, besides their networks. size: of the
    difference, in the units of the numbers, from which the claim holds; stated here, before the
    networks are. paired: the key under which the robust network's row has the difference, in pairs
    of examples; "" where there are no pairs, such as of two networks' units. short: the text in a
    scoreboard; "": that before "; ".
    """

    text: str
    source: str
    study: str
    where: Mapping[str, str | float] = field(default_factory=dict)
    less: Number
    greater: Number
    size: float
    paired: str = ""
    short: str = ""


def _robust_more(score: str) -> dict[str, Any]:
    """Make the numbers of a claim that a robust network's score is more, of the same examples."""
    numbers = {"less": Number("standard", score), "greater": Number("robust", score)}
    return numbers | {"paired": f"{score}_more"}


def _robust_units_more(score: str) -> dict[str, Any]:
    """Make those of a score of units, which are not the same in two networks."""
    return _robust_more(score) | {"paired": ""}


def _within(eps: float) -> Claim:
    """Make the claim about the images within `eps`, which the config sets."""
    return Claim(
        text=(
            f"Within {eps:g} of an image lies one with the representation of another, of a "
            "standard network; distance left"
        ),
        source="Figures 2, 4",
        study="proximity",
        where={"radius": eps},
        **_robust_more("distance"),
        size=0.25,
        short=(
            "Within the radius of training of an image lies one with the representation of "
            "another, of a standard network"
        ),
    )


# A correlation, a cosine and a share have 1 to gain: half of it where the claim is that an image
# comes back or becomes another, a quarter where it is of a tendency. 3 dB is half of the error.
CLAIMS = (
    Claim(
        text="... of a robust one only if it becomes that other; correlation with it, no radius",
        source="Figure 5",
        study="proximity",
        where={"radius": 1000.0},  # proximity's, which never binds
        **_robust_more("correlation_with_target"),
        size=0.25,
    ),
    Claim(
        text="Inverted from noise, a robust representation gives its image back; correlation",
        source="Figures 3, 13",
        study="inversion",
        where={"target": "test images", "start": "noise"},
        **_robust_more("correlation"),
        size=0.5,
    ),
    Claim(
        text="... and photographs, unlike all it was trained on; correlation",
        source="Figures 3, 14",
        study="inversion",
        where={"target": "photographs", "start": "noise"},
        **_robust_more("correlation"),
        size=0.5,
    ),
    Claim(
        text="... and structured patterns; correlation",
        source="Figures 6, 14",
        study="inversion",
        where={"target": "patterns", "start": "noise"},
        **_robust_more("correlation"),
        size=0.5,
    ),
    Claim(
        text="Inversions of one image agree, wherever they start; correlation",
        source="Figures 6, 16",
        study="inversion",
        where={"target": "test images", "start": "noise"},
        **_robust_more("agreement_of_starts"),
        size=0.5,
    ),
    Claim(
        text="A unit shows the same, wherever one starts; correlation of what is gained",
        source="Figures 7, 19-22",
        study="visualization",
        **_robust_units_more("agreement_of_starts"),
        size=0.25,
    ),
    Claim(
        text="A unit's maximizing input is like the images that excite it most; cosine",
        source="Figure 8",
        study="activations",
        **_robust_units_more("cosine_with_most"),
        size=0.25,
    ),
    Claim(
        text="No regularizer is needed for a unit's images to agree; correlation",
        source="Figures 9, 10",
        study="regularized",
        where={"method": "plain"},
        **_robust_units_more("agreement_of_starts"),
        size=0.25,
    ),
    Claim(
        text="To add a feature, an image has to change more; l2 norm of the change",
        source="Figures 11, 23",
        study="manipulation",
        where={"stop": "largest"},
        **_robust_units_more("l2_distance"),
        size=1.0,
    ),
    Claim(
        text=(
            "Half way between two robust representations is an image, half way between pixels is "
            "not; distance to a real one"
        ),
        source="Figures 12, 17, 18",
        study="interpolation",
        less=Number("robust", "midpoint_to_real", name="midpoint"),
        greater=Number("robust", "blend_to_real", name="mixture"),
        size=0.1,
        paired="midpoint_nearer",
    ),
    Claim(
        text="Steps towards a class make an image of it; share that another network sees so",
        source="follow-up",
        study="synthesis",
        where={"task": "translation"},
        **_robust_more("after"),
        size=0.5,
    ),
    Claim(
        text="... of a sketch, too; share",
        source="follow-up",
        study="synthesis",
        where={"task": "sketches"},
        **_robust_more("after"),
        size=0.5,
    ),
    Claim(
        text="Steps towards the class fill in what is missing; PSNR, dB",
        source="follow-up",
        study="synthesis",
        where={"task": "inpainting"},
        less=Number("robust", "before", name="before"),
        greater=Number("robust", "after", name="after"),
        size=3.0,
        paired="gained",
    ),
    Claim(
        text="... and make a coarse image fine; PSNR, dB",
        source="follow-up",
        study="synthesis",
        where={"task": "super-resolution"},
        less=Number("robust", "before", name="before"),
        greater=Number("robust", "after", name="after"),
        size=3.0,
        paired="gained",
    ),
    Claim(
        text="Robust representations transfer better; accuracy of a linear probe",
        source="none of these papers",
        study="transfer",
        **_robust_more("linear_probe"),
        size=0.02,
    ),
    Claim(
        text="Attacks on a robust network stay near the manifold; distance over a clean image's",
        source="Kim et al., 2.1",
        study="manifold",
        where={"loss": "cross_entropy"},
        less=Number("robust", "over_clean"),
        greater=Number("standard", "over_clean"),
        size=0.25,
        paired="over_clean_less",
    ),
    Claim(
        text="Its gradients run along the manifold; share of their energy",
        source="Kim et al., 2.2",
        study="manifold",
        where={"loss": "cross_entropy"},
        **_robust_more("gradient_energy"),
        size=0.25,
    ),
    Claim(
        text="Robust features decode to better images; PSNR, dB",
        source="Rojas-Gomez et al.",
        study="reconstruction",
        where={"images": "test images", "method": "decoder"},
        **_robust_more("psnr"),
        size=1.0,
    ),
)


def verdict(difference: Mapping[str, Any], size: float) -> str:
    """Return "yes", "in part" or "no" by the rule at the top of this file.

    Also "too few", where fewer than 5 examples give no interval.

    difference: a summary of what is to be above 0. size: of its mean, for a "yes".
    """
    if difference["interval"] == "range":
        return "too few"
    if not difference["low"] > 0:
        return "no"
    return "yes" if difference["mean"] >= size else "in part"


def over_seeds(verdicts: Sequence[str]) -> str:
    """Return the verdict of several folders: theirs where all are alike, else "in part"."""
    return verdicts[0] if len(set(verdicts)) == 1 else "in part"


def run(config: ConfigDict, workdir: str) -> None:
    """Write the table of claims; those whose study has not run are said to be untested.

    Raises:
      BadInput: if none has, or the document has no place for the table or the column.
    """
    folders = tuple(config.folders) or (workdir,)
    results = {folder: runs.read_results(folder) for folder in folders}
    claims = (_within(config.eps), *CLAIMS)
    studies = {claim.study for claim in claims}
    if not any(studies & set(result) for result in results.values()):
        raise BadInput(
            f"{', '.join(folders)}: no results of {', '.join(sorted(studies))}: run these studies "
            "first, as launch/reproduce.sh does"
        )
    rows = [_evaluated(claim, list(results.values())) for claim in claims]
    section = _section(rows, folders)
    if config.document and not jax.process_index():
        _document(config, claims, rows, section)
    runs.make_folder(workdir)
    runs.publish(workdir, config, section, {"rows": rows})


def _document(
    config: ConfigDict, claims: Sequence[Claim], rows: Sequence[Row], section: report.Section
) -> None:
    """Put what was tested into a document: a table of its own, or a column of a scoreboard."""
    if config.column:
        cells = {
            claim.short or claim.text.partition("; ")[0]: scored(row)
            for claim, row in zip(claims, rows, strict=True)
            if row["of"]
        }
        report.replace_column(config.document, config.table, config.column, cells, NOT_RUN)
        return
    tested = [cells for row, cells in zip(rows, section.rows, strict=True) if row["of"]]
    table = report.markdown(section.header, tested)
    report.replace_table(config.document, config.table, table)


def scored(row: Row) -> str:
    """Return a claim's cell in a scoreboard: its verdict, and the mean difference."""
    return f"{row['holds']}, {report.center(row['difference']):.2f}"


def _evaluated(claim: Claim, results: Sequence[Mapping]) -> Row:
    """Return both numbers of a claim and their difference, over all folders, and its verdict."""
    rows = [result[claim.study]["rows"] for result in results if claim.study in result]
    numbers = [each for each in (_numbers(of_folder, claim) for of_folder in rows) if each]
    row = {"claim": claim.text, "source": claim.source, "study": claim.study, "size": claim.size}
    row["of"] = len(numbers)
    if not numbers:
        return row
    verdicts = [verdict(difference, claim.size) for _, _, difference in numbers]
    lesser, greater, differences = zip(*numbers, strict=True)
    return row | {
        "less": {"name": claim.less.name or claim.less.network} | _combined(lesser),
        "greater": {"name": claim.greater.name or claim.greater.network} | _combined(greater),
        "difference": _combined(differences),
        "verdicts": verdicts,
        "holds": over_seeds(verdicts),
    }


def _numbers(rows: Sequence[Row], claim: Claim) -> tuple[dict, dict, dict] | None:
    """Return a claim's two summaries and that of their difference; None if a number is missing.

    Raises:
      BadInput: for results that are older than what the rule needs.
    """
    less, greater = (_score(rows, claim, n.network, n.score) for n in (claim.less, claim.greater))
    if not (less and greater):
        return None
    paired = _score(rows, claim, "robust", claim.paired) if claim.paired else {}
    if paired is None or "interval" not in less:
        raise BadInput(
            f"the results of {claim.study} are of an older rrjax and have no differences in "
            "pairs: run that study again"
        )
    return less, greater, paired or metrics.difference(greater, less)


def _score(rows: Sequence[Row], claim: Claim, network: str, score: str) -> dict | None:
    """Return a score of the row that the claim is about; None if there is none.

    What was not finite is null in results.json, and NaN here: of that no claim holds.
    """
    fields = {"network": network, **claim.where}
    for row in rows:
        if all(row.get(key) == value for key, value in fields.items()) and row.get(score):
            return {key: math.nan if x is None else x for key, x in row[score].items()}
    return None


def _combined(summaries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the only summary; of several the mean, the least and the greatest of their means."""
    if len(summaries) == 1:
        return dict(summaries[0])
    means = [summary["mean"] for summary in summaries]
    ends = {"low": min(means), "high": max(means), "interval": "range"}
    return {"mean": sum(means) / len(means), "n": len(means)} | ends


def _section(rows: Sequence[Row], folders: Sequence[str]) -> report.Section:
    several = len(folders) > 1
    shown = "mean (least to greatest) of the folders" if several else "mean and 95 % interval"
    return report.Section(
        name="claims",
        title="Which claims hold?",
        text=[
            _count(rows),
            "Engstrom et al. (2019), follow-up: Santurkar et al. (2019), Kim et al. (2019), "
            "Rojas-Gomez et al. (2021). A claim says that one number is less than the other. Yes: "
            "the whole 95 % interval of the difference is above 0, and the difference is at least "
            "what the column says; in part: it is above 0, but smaller; no: the interval holds 0 "
            "or lies below it. Over several folders: what all of them say, else in part. "
            f"{shown}, of {', '.join(folders)}.",
        ],
        header=HEADER,
        rows=[[row["claim"], row["source"], row["study"], *_cells(row)] for row in rows],
        figures=[],
        verdicts=True,
    )


def _count(rows: Sequence[Row]) -> str:
    """Say how many claims have each verdict."""
    counts = Counter(row.get("holds", NOT_RUN) for row in rows)
    verdicts = ("yes", "in part", "no", "too few", NOT_RUN)
    counted = ", ".join(f"{counts[each]} {each}" for each in verdicts if counts[each])
    return f"{len(rows)} claims: {counted}."


def _cells(row: Row) -> list[str]:
    if not row["of"]:
        return ["", "", "", f"{row['size']:g}", NOT_RUN]
    numbers = [
        f"{row[side]['name']} {report.with_interval(row[side])}" for side in ("less", "greater")
    ]
    difference, size = report.with_interval(row["difference"]), f"{row['size']:g}"
    every = f" ({', '.join(row['verdicts'])})" if len(set(row["verdicts"])) > 1 else ""
    return [*numbers, difference, size, row["holds"] + every]
