"""The VAE-GANs of Kim, Seo and Jeon (2019), with the settings of their code: learned manifolds.

python -m rrjax.train --config=configs/vaegan.py:cifar10 --config.data.path=DATA \
  --workdir=runs/vaegan_cifar10

Behind the colon: mnist, fashion_mnist or cifar10. DATA holds the four idx files of MNIST or
Fashion-MNIST, or the TFDS set cifar10 as array_record; for a tree DATA/{train,test}/<class>/*.png
add --config.data.name=folder. Their batches come in one order always, ours in a new one each epoch;
they train on 55,000 of the 60,000 images of either MNIST. Not trained here.
"""

from rrjax.configs import vaegan_digits

SETS = ("mnist", "fashion_mnist", "cifar10")


def get_config(name="cifar10"):
    if name not in SETS:
        raise ValueError(f"configs/vaegan.py:{name}: choose from {', '.join(SETS)}")
    config = vaegan_digits.get_config()
    config.batch_size = 100
    config.log_every = 100
    config.save_every = 500
    config.model.width = 64
    if name == "cifar10":
        config.epochs = 150
        config.model.update(variant="cifar", latent=128, mean=(0.5,) * 3, std=(0.5,) * 3)
        config.data.update(name="cifar10", image_size=32, resize=32)
        config.loss.update(reconstruction=0.01, discriminator_steps=5)
        config.optimizer.update(learning_rate=2e-4, b1=0.0, b2=0.9)
        return config
    config.epochs = 30 if name == "mnist" else 60
    config.model.update(variant="mnist", latent=10)
    config.data.update(name="idx", image_size=28, resize=28)
    config.loss.update(reconstruction=5e-3 if name == "mnist" else 5e-4, discriminator_steps=1)
    config.optimizer.update(learning_rate=5e-4, b1=0.5, b2=0.9)
    return config
