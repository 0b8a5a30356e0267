"""Every field of a training run, with the settings of Engstrom et al. (2019), Table 3.

A config starts from here and overrides what it means to; the result is locked, so a misspelt
field is an error.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.seed = 0
    config.epochs = 110
    config.batch_size = 256  # images a step, over all devices and processes
    config.log_every = 10  # steps
    config.save_every = 500  # steps
    config.eval_every = 5  # epochs
    config.tensorboard = False

    config.model = ConfigDict()
    config.model.name = "resnet50"
    config.model.variant = "imagenet"  # "imagenet" or "cifar": stem, head and initialisation
    config.model.width = 64  # channels of a ResNet's first stage
    config.model.classes = 1000
    config.model.mean = (0.485, 0.456, 0.406)  # one number a channel, of pixels in [0,1]
    config.model.std = (0.229, 0.224, 0.225)
    config.model.dtype = "float32"
    config.model.param_dtype = "float32"

    config.data = ConfigDict()
    config.data.name = "folder"  # "digits" or "folder"
    config.data.path = ""  # of a folder tree: root/{train,test}/<class>/*.jpg
    config.data.image_size = 224
    config.data.crop_padding = 0  # pixels of zero padding before a random crop; 0: no crop
    config.data.flip = True

    config.optimizer = ConfigDict()
    config.optimizer.learning_rate = 0.1
    config.optimizer.momentum = 0.9
    config.optimizer.weight_decay = 5e-4  # coupled, on every parameter
    config.optimizer.schedule = "step"  # "step" or "cosine"
    config.optimizer.drops = (100,)  # epochs at which a "step" schedule multiplies by gamma
    config.optimizer.gamma = 0.1

    # The adversary that training meets; eps 0 is standard training. Fields: rrjax.attack.adversary.
    config.attack = ConfigDict()
    config.attack.norm = "l2"
    config.attack.eps = 3.0  # in units of pixels in [0,1]
    config.attack.step_size = 0.5
    config.attack.steps = 7
    config.attack.loss = "cross_entropy"
    config.attack.random_start = "none"
    config.attack.restarts = 1
    config.attack.keep = "best"
    return config.lock()
