r"""A tree of images, FOLDER/{train,test}/<class>/<image>, as a TFDS set of its own.

python -m rrjax.prepare --config=configs/prepare_folder.py --config.folder=FOLDER \
    --config.name=my_set --workdir=DATA_DIR

It is then read with --config.data.name=my_set --config.data.path=DATA_DIR.
"""

from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.prepare = "folder"
    config.folder = ""
    config.name = ""  # what TFDS calls the set: lower-case letters, digits and _
    return config.lock()
