"""A decoder that inverts a digits network: about a minute on two cores.

python -m rrjax.train --config=configs/autoencoder_digits.py \
  --config.model.encoder=runs/quickstart/robust --workdir=runs/quickstart/robust_decoder

The pixel loss alone; --config.loss.feature=0.01 adds that of features. At 16 pixels there is no
discriminator.
"""

from ml_collections import ConfigDict

from rrjax.runs import defaults


def get_config():
    config = defaults.run()
    config.epochs = 15
    config.batch_size = 64
    config.save_every = 100
    config.eval_every = 5
    # Standard deviation of the noise on what is encoded, in units of 1/255; what is to be decoded
    # is the clean image.
    config.noise = 0.0

    config.model.name = "autoencoder"
    # What `rrjax.load` takes: a run folder, a name, a file. The run's folder keeps a copy of it.
    config.model.encoder = "runs/quickstart/robust"
    config.model.stage = "layer3"  # what is inverted, a name in the encoder's `reps`
    # "mirror", of any stage of a stride 2^n; AlexNet's "conv5_transposed", "conv5_nearest", "conv2"
    # and "conv1"; or "wavelet", of its conv5 with Haar pooling, for denoising.
    config.model.decoder = "mirror"
    # Of the encoder's input: "standardize", as it was trained; "scale", to [-1,1] as the authors'
    # code does.
    config.model.encoder_norm = "standardize"
    config.model.classes = 10
    config.model.mean = (0.5,)  # one a channel; the encoder has its own
    del config.model.std, config.model.variant, config.model.width

    config.data.name = "digits"
    config.data.image_size = 16
    config.data.resize = 16
    config.data.crop_scale = ()
    config.data.flip = False
    config.data.jitter = 0.0
    config.data.lighting = 0.0

    # Weights of sums, over pixels, features and images. 0: no such loss.
    config.loss = ConfigDict()
    config.loss.norm = "l2"  # of pixels, squared; or "l1"
    config.loss.pixel = 1.0
    config.loss.feature = 0.0
    # Whose features are compared; it follows model.stage (and, being a sum, does not lead it).
    config.loss.stage = config.model.get_ref("stage") + ""
    config.loss.adversarial = 0.0
    config.loss.discriminator = 100.0  # of the discriminator's own loss
    config.loss.discriminator_stride = 4  # 4 from 61 pixels on, 1 from 19

    config.optimizer = ConfigDict()  # Adam, one a network
    config.optimizer.learning_rate = 2e-3
    config.optimizer.discriminator_rate = 8e-3  # it falls as the decoder's does
    config.optimizer.b1 = 0.0
    config.optimizer.b2 = 0.9
    config.optimizer.discriminator_b1 = 0.0  # this and the next: Adam's, of the discriminator
    config.optimizer.discriminator_b2 = 0.9
    config.optimizer.schedule = "cosine"
    config.optimizer.drops = ()
    config.optimizer.gamma = 0.1
    config.optimizer.points = ()
    return config.lock()
