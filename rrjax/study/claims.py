"""Which claims of Engstrom et al. (2019) hold of our networks?

Each claim says that one number is less than another: of the standard and of the robust network, or
of one network before and after. It holds in a folder of studies if the whole 95 % interval of the
one lies below that of the other. The other studies make the numbers; this one reads them.

python -m rrjax.study --config=configs/claims.py --workdir=runs/small
"""

from collections.abc import Mapping
from typing import NamedTuple

from rrjax import runs
from rrjax.errors import BadInput
from rrjax.runs import report

SIDES = ("less", "greater")


class Number(NamedTuple):
    """A score of a study: in the row that has these fields."""

    name: str
    score: str
    fields: Mapping[str, str | float]


class Claim(NamedTuple):
    text: str
    figures: str
    study: str
    less: Number
    greater: Number


def run(config, workdir: str) -> None:
    """Write the table of claims; those whose study has not run are said to be untested."""
    folders = tuple(config.folders) or (workdir,)
    results = {folder: runs.read_results(folder) for folder in folders}
    claims = _claims(config.eps)
    known = {claim.study for claim in claims}
    if not any(known & set(found) for found in results.values()):
        raise BadInput(
            f"{', '.join(folders)}: no results of {', '.join(sorted(known))}: run these studies "
            "first, as launch/reproduce.sh does"
        )
    runs.make_folder(workdir)
    rows = [_judged(claim, list(results.values())) for claim in claims]
    runs.publish(workdir, config, _section(config, rows, folders), {"rows": rows})


def _more(text: str, figures: str, study: str, score: str, **fields) -> Claim:
    """Claim that the robust network has more of a score than the standard one."""
    numbers = (Number(n, score, fields | {"network": n}) for n in ("standard", "robust"))
    return Claim(text, figures, study, *numbers)


def _claims(eps: float) -> list[Claim]:
    noise = {"start": "noise"}
    robust = {"network": "robust"}
    middle = (
        Number("midpoint", "midpoint to a real image", robust),
        Number("mixture", "blend to a real image", robust),
    )
    filled = [Number(when, when, robust | {"task": "inpainting"}) for when in ("before", "after")]
    agree, follow_up = "agreement of starts", "follow-up"
    return [
        _more(
            f"Within {eps:g} of an image lies one with the representation of another, of a "
            "standard network; distance left",
            *("2, 4, 5", "proximity", "distance"),
            radius=eps,
        ),
        _more(
            "Inverted from noise, a robust representation gives its image back; correlation",
            *("3, 13", "inversion", "correlation"),
            target="test images",
            **noise,
        ),
        _more(
            "... and photographs, unlike all it was trained on; correlation",
            *("3, 14", "inversion", "correlation"),
            target="photographs",
            **noise,
        ),
        _more(
            "Inversions of one image agree, wherever they start; correlation",
            *("6, 16", "inversion", agree),
            target="test images",
            **noise,
        ),
        _more(
            "A unit shows the same, wherever one starts; correlation of what is gained",
            *("7, 19-22", "visualization", agree),
        ),
        _more(
            "A unit's maximizing input is like the images that excite it most; cosine",
            *("8", "activations", "cosine with the most"),
        ),
        _more(
            "No regularizer is needed for a unit's images to agree; correlation",
            *("9, 10", "regularized", agree),
            method="plain",
        ),
        _more(
            "A feature that is added is seen; l2 norm of the change",
            *("11, 23", "manipulation", "moved"),
            stop="largest",
        ),
        Claim(
            "Half way between two robust representations is an image, half way between pixels is "
            "not; distance to a real one",
            *("12, 17, 18", "interpolation"),
            *middle,
        ),
        _more(
            "Steps towards a class make an image of it; share that another network sees so",
            *(follow_up, "synthesis", "after"),
            task="translation",
        ),
        Claim(
            "Steps towards the class fill in what is missing; PSNR, dB",
            *(follow_up, "synthesis"),
            *filled,
        ),
        _more(
            "Robust representations transfer better; accuracy of a linear probe",
            *("not in it", "transfer", "linear probe"),
        ),
    ]


def _judged(claim: Claim, results: list[dict]) -> dict:
    """Return both numbers of a claim, over all folders, and in how many of them it holds."""
    pairs = []
    for found in results:
        rows = found[claim.study]["rows"] if claim.study in found else []
        pair = [_found(rows, number) for number in (claim.less, claim.greater)]
        if all(pair):
            pairs.append(pair)
    names = {"claim": claim.text, "figures": claim.figures, "study": claim.study}
    if not pairs:
        return names | {"of": 0}
    less, greater = (_together(summaries) for summaries in zip(*pairs, strict=True))
    return names | {
        "less": {"name": claim.less.name} | less,
        "greater": {"name": claim.greater.name} | greater,
        "holds": sum(less["high"] < greater["low"] for less, greater in pairs),
        "of": len(pairs),
    }


def _found(rows: list[dict], number: Number) -> dict | None:
    for row in rows:
        # The transfer study names its rows' networks "features".
        named = row | {"network": row.get("network", row.get("features"))}
        if all(named[field] == value for field, value in number.fields.items()):
            return row[number.score]
    return None


def _together(summaries: tuple[dict, ...]) -> dict:
    """Return the only summary; of several the mean, the least and the greatest of their means."""
    if len(summaries) == 1:
        return {key: summaries[0][key] for key in ("mean", "low", "high")}
    means = [summary["mean"] for summary in summaries]
    return {"mean": sum(means) / len(means), "low": min(means), "high": max(means)}


def _section(config, rows: list[dict], folders: tuple[str, ...]) -> report.Section:
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
        header=["claim", "figures", "study", "less", "greater", "holds"],
        rows=[[row["claim"], row["figures"], row["study"], *_cells(row)] for row in rows],
        figures=[],
    )


def _cells(row: dict) -> list[str]:
    if not row["of"]:
        return ["", "", "not run"]
    numbers = [f"{row[side]['name']} {report.with_interval(row[side])}" for side in SIDES]
    if row["of"] == 1:
        return [*numbers, "yes" if row["holds"] else "no"]
    return [*numbers, f"{row['holds']} of {row['of']}"]
