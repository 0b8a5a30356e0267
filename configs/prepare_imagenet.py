"""ImageNet's two tars as TFDS' imagenet2012, without TensorFlow.

python -m rrjax.prepare --config=configs/prepare_imagenet.py --config.tars=FOLDER --workdir=DATA_DIR

Needs as much free space in DATA_DIR as the tars take, and nothing more on the way.
"""

from ml_collections import ConfigDict


def get_config():
    config = ConfigDict()
    config.prepare = "imagenet2012"
    config.tars = ""  # the folder of ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar
    config.partial = False  # take less than all of ImageNet
    return config.lock()
