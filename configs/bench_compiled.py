"""Which batch fits, what moves and what is the best rate, by the accelerators' own compilers.

pip install 'rrjax[aot-cuda]' 'rrjax[aot-tpu]'
JAX_PLATFORMS=cpu python -m rrjax.bench --config=configs/bench_compiled.py --workdir=runs/compiled

For one chip: --config.chips="('h100',)". Of ResNet-50 a TPU's compiler takes a quarter of an hour
for a program, a GPU's half a minute. Into a document, between its lines <!-- compiled --> and
<!-- end of compiled -->: --config.document=docs/performance.md. With --config.cases="()" nothing is
compiled, and the document gets what the folder has.
"""

from ml_collections import ConfigDict

from rrjax.runs import defaults


def get_config():
    config = ConfigDict()
    config.bench = "compiled"
    # Each case is kind, model.name, model.variant, image_size and number of images of a device; a
    # kind is "adversarial" or "standard" (a training step), "evaluation" or "inversion".
    config.cases = (
        ("adversarial", "resnet50", "imagenet", 224, 128),
        ("standard", "resnet50", "imagenet", 224, 128),
        ("evaluation", "resnet50", "imagenet", 224, 128),
        ("inversion", "resnet50", "imagenet", 224, 128),
    )
    config.dtypes = ("bfloat16",)  # or "float32" too
    config.chips = ("a100", "h100", "h200", "b200", "v4", "v5e", "v5p", "v6e")
    config.devices = (1, 8)  # of one machine
    config.most_images = 2048  # a device: up to this the most that fit are sought; 0: they are not
    config.gpu_memory_share = 0.75  # of a GPU, as XLA_PYTHON_CLIENT_MEM_FRACTION
    config.training = defaults.get_config()  # of every case
    config.evaluation_steps = 20
    config.inversion_steps = 100
    config.document = ""  # a Markdown file that gets the tables, too
    config.table = "compiled"  # the name that its two lines around the tables have
    return config.lock()
