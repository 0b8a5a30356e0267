"""ImageNet's classes, and Restricted ImageNet, at full size and at 64 pixels, as views of it."""

from dataclasses import replace
from pathlib import Path

import tensorflow_datasets as tfds
from tensorflow_datasets.datasets.imagenet2012 import imagenet2012_dataset_builder as stock

from rrjax import BadInput
from rrjax.data.sources import Source, grouped

# Restricted ImageNet (Tsipras et al., 2019): class -> its indices among ImageNet's 1,000.
RESTRICTED = {
    "dog": range(151, 269),
    "cat": range(281, 286),
    "frog": range(30, 33),
    "turtle": range(33, 38),
    "bird": range(80, 101),
    "primate": range(365, 383),
    "fish": range(389, 398),
    "crab": range(118, 122),
    "insect": range(300, 320),
}
# Tiny ImageNet's classes of these groups, by their WordNet ids: frogs and other amphibians,
# turtles and other reptiles, crabs and other crustaceans.
RESTRICTED_64 = {
    "dog": ("n02085620", "n02094433", "n02099601", "n02099712", "n02106662", "n02113799"),
    "cat": ("n02123045", "n02123394", "n02124075", "n02125311", "n02129165"),
    "amphibian": ("n01629819", "n01641577", "n01644900"),
    "reptile": ("n01698640", "n01742172"),
    "bird": ("n01855672", "n02002724", "n02056570", "n02058221"),
    "primate": ("n02480495", "n02481823", "n02486410"),
    "fish": ("n01443537",),
    "crustacean": ("n01983481", "n01984695"),
    "insect": (
        *("n02165456", "n02190166", "n02206856", "n02226429", "n02231487"),
        *("n02233338", "n02236044", "n02268443", "n02279972", "n02281406"),
    ),
}
VALIDATION = 50_000
RESTRICTED_VALIDATION = 10_150  # 50 images of each of 203 classes


def wnids() -> tuple[str, ...]:
    """List the 1,000 classes' WordNet ids, in the order of their indices."""
    return tuple(Path(stock.imagenet_common.label_names_file()).read_text().split())


def validation_labels() -> tuple[str, ...]:
    """List the wnids of the 50,000 validation images, in the order of their numbers."""
    path = tfds.core.tfds_path("datasets/imagenet2012/validation_labels.txt")
    return tuple(Path(path).read_text().split())


def restricted(whole: Source) -> Source:
    """Make Restricted ImageNet, as unbalanced as the paper's, a view of a split of imagenet2012.

    Raises:
      BadInput: where all 50,000 validation images do not give 10,150.
    """
    view = grouped(whole, [*RESTRICTED.values()], tuple(RESTRICTED), balanced=False)
    if len(whole) == VALIDATION and len(view) != RESTRICTED_VALIDATION:
        raise BadInput(
            f"{whole.name}: {len(view):,} of its images are of Restricted ImageNet, not "
            f"{RESTRICTED_VALIDATION:,}: its labels are not ImageNet's; prepare it again"
        )
    return replace(view, name=whole.name.replace("imagenet2012", "restricted_imagenet"))
