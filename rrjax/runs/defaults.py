"""Every field of a classifier's training, with the settings of Engstrom et al. (2019), Table 3.

A config starts from here and overrides what it means to; the result is locked, so a misspelt
field is an error. What every study asks for is here too.
"""

from ml_collections import ConfigDict


def run() -> ConfigDict:
    """Return what every training has, whatever it trains."""
    config = ConfigDict()
    config.seed = 0
    # "bfloat16": convolutions and products; parameters, their statistics, losses, norms and the
    # perturbation stay float32.
    config.dtype = "float32"
    # Of products and convolutions in float32: "default" is the device's fastest, as TF32 on an H100
    # and bfloat16 on a TPU; "highest" is float32.
    config.matmul_precision = "default"
    config.epochs = 110
    config.batch_size = 256  # images a step, over all devices and processes
    config.micro_batches = 1  # parts a device takes its batch in, one after another: less memory
    config.log_every = 10  # steps
    config.save_every = 500  # steps
    config.eval_every = 5  # epochs
    config.tensorboard = False

    config.model = ConfigDict()
    config.model.name = "resnet50"
    # "imagenet" or "cifar": stem, head and initialization; of a preact_resnet18 whose it is.
    config.model.variant = "imagenet"
    config.model.width = 64  # channels of a ResNet's first stage
    config.model.classes = 1000
    config.model.mean = (0.485, 0.456, 0.406)  # one number a channel, of pixels in [0,1]
    config.model.std = (0.229, 0.224, 0.225)
    config.model.dtype = config.get_ref("dtype")
    config.model.param_dtype = "float32"
    # Statistics of BN in training: of all devices' images (True), or of each device's own. The
    # paper's 256 images are few a device on many: set it on a pod.
    config.model.sync_batch_norm = False
    config.data = _data()
    return config


def _data() -> ConfigDict:
    """Return what every training has about its data."""
    data = ConfigDict()
    # name: "digits"; "folder", a tree path/{train,test}/<class>/*.jpg; "npy", arrays in images.npy
    # and labels.npy; "idx", MNIST's four files in the folder path; "restricted_imagenet"; or a TFDS
    # set's, prepared as array_record under the folder `path` (empty: TFDS' own).
    data.name = "imagenet2012"
    data.path = ""
    # A view: every group of classes (numbers or names) becomes one class, the others are left out.
    data.groups = ()
    data.group_names = ()
    # Names of the labels, for whoever reads the run; a training writes those of its data here.
    data.class_names = ()
    data.balanced = False  # groups cut to the class count of the smallest
    data.image_size = 224
    data.resize = 256  # of the shorter side, before the center crop
    data.crop_scale = (0.08, 1.0)  # area of a random resized crop; (): no such crop
    data.crop_padding = 0  # pixels of zero padding before a random crop; 0: no crop
    data.flip = True
    data.jitter = 0.1  # brightness, contrast and saturation by factors of 1 +- this
    data.lighting = 0.05  # standard deviation of AlexNet's shift of color
    data.rotation = 0.0  # degrees, at most
    data.workers = 0  # processes that read; 0: threads only; -1: on cores to spare
    data.max_corrupt = 10  # images that may be passed over before the run stops
    return data


def get_config() -> ConfigDict:
    """Return the config of a classifier's training, every field of it, locked."""
    config = run()
    config.model.module = ""  # a linen module of your own, "package.file:Net" (models/own.py)
    # What `rrjax.load` takes, to begin from; with another class count its head starts anew.
    config.start_from = ""
    # PGD steps of 2.5 * eps / steps under which a run is evaluated; 0: the attack of training.
    config.eval_attack_steps = 0
    config.replays = 0  # of each batch in Free training (Shafahi et al. 2019); 0: no such training
    config.ema_decay = 0.0  # of the moving average that is evaluated and loaded; 0: no average

    config.optimizer = ConfigDict()
    config.optimizer.name = "sgd"  # or "adam"
    config.optimizer.learning_rate = 0.1
    config.optimizer.momentum = 0.9  # Adam's b1
    config.optimizer.weight_decay = 5e-4  # coupled, on every parameter
    config.optimizer.train_only = ""  # regular expression in a parameter's path, as "fc|layer4"
    # "step"; "cosine"; "linear", through points; "cyclic", from 0 up to learning_rate, reached at
    # 4/15 of the epochs, and down to 0.
    config.optimizer.schedule = "step"
    config.optimizer.drops = (100,)  # epochs at which a "step" schedule multiplies by gamma
    config.optimizer.gamma = 0.1
    config.optimizer.points = ()  # of "linear": (epoch, multiplier of learning_rate), ...

    config.loss = ConfigDict()
    # "cross_entropy", or "trades" (Zhang et al. 2019): CE(clean) + beta * KL(clean || adversarial).
    config.loss.name = "cross_entropy"
    config.loss.clean_weight = 0.0  # of the clean images' cross-entropy; the adversarial has 1 - it
    config.loss.beta = 6.0  # of "trades"
    config.loss.label_smoothing = 0.0  # share of the target that all classes divide
    # Of input gradients, at the clean images; weights in the loss, at twice the cost of a step or
    # more: of |d cross-entropy / d image|^2, and of 1 - cosine(d true logit / d image, image).
    config.loss.gradient_penalty = 0.0
    config.loss.alignment_penalty = 0.0

    # The adversary that training meets, with the options of rrjax.core.attack.adversary; eps 0 is
    # standard training.
    config.attack = ConfigDict()
    config.attack.norm = "l2"
    config.attack.eps = 3.0  # in units of pixels in [0,1]
    # Points (epoch, multiplier of eps) with straight lines between them, in training only; (): 1.
    config.attack.eps_schedule = ()
    config.attack.step_size = 0.5
    config.attack.steps = 7
    config.attack.loss = "cross_entropy"
    config.attack.random_start = "none"
    config.attack.restarts = 1
    config.attack.return_iterate = "best"
    return config.lock()


def trained_against(config: ConfigDict) -> str:
    """Say what a classifier was trained against, such as "l2, eps 0.5".

    "no adversary", or "unknown" where nothing is known of a training: its config has no epochs.
    """
    if config.attack.eps:
        return f"{config.attack.norm}, eps {config.attack.eps:g}"
    return "no adversary" if config.epochs else "unknown"


def study(name: str, settings: str = "", choices: tuple[str, ...] = ("",)) -> ConfigDict:
    """Return what every study of trained networks has; a config adds fields and locks it.

    settings: the word behind the colon of a config's name. choices: those that the config has.

    Raises:
      ValueError: for another word.
    """
    check_settings(name, settings, choices)
    config = ConfigDict()
    config.study = name
    # Networks, as `rrjax.load` takes them: run folders, names, files; empty: none.
    config.standard = "runs/quickstart/standard"
    config.robust = "runs/quickstart/robust"
    config.more = ()  # further networks, of the same data
    config.checkpoint = "latest"  # or "best"
    # Where the networks' test data lie now; empty: where they lay in training.
    config.data = ConfigDict({"name": "", "path": ""})
    config.batch_size = 32  # images at a time, over all devices
    config.seed = 0
    precision(config)
    return config


def check_settings(name: str, settings: str, choices: tuple[str, ...]) -> None:
    """Check the word behind the colon of configs/`name`.py.

    Raises:
      ValueError: if it is none of the choices.
    """
    if settings not in choices:
        raise ValueError(f"configs/{name}.py:{settings}: choose from {', '.join(choices)}")


def precision(config: ConfigDict) -> None:
    """Add the fields that say how precisely networks are evaluated."""
    config.dtype = ""  # of the networks: "bfloat16", "float32"; empty: that of their training
    # Of products and convolutions in float32: "highest" is float32 on every device; "default" its
    # fastest, TF32 on an H100 and bfloat16 on a TPU.
    config.matmul_precision = "highest"
