"""Values that a command cannot work with: one line, exit code 2, and nothing is written.

What the parser refuses is in test_parse.py.
"""

import pytest

from commands import refused

TRAIN = ["train", "--config=robust_digits"]
IMPORT = ["convert", "--config=import_torch:robust_digits"]
EVALUATE = ["evaluate", "--config=evaluate"]
INVERSION = ["study", "--config=inversion"]
BENCH = ["bench", "--config=bench_data"]
FOLDER = "--config.data.name=folder"
ONE_CLASS = ["--config.data.groups=((3,),)", "--config.data.group_names=('three',)"]
SYNC = "--config.model.sync_batch_norm=True"
CASES = "--config.cases=(('train', 'tiny'),)"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*TRAIN, "--config.start_from=/no/such"], "/no/such: not a run folder"),
        ([*TRAIN, "--config.replays=2", "--config.micro_batches=2"], "micro_batches=2: with"),
        ([*TRAIN, "--config.micro_batches=3"], "set it to a multiple of 6"),
        ([*TRAIN, "--config.ema_decay=1.0"], "ema_decay=1.0"),
        ([*TRAIN, "--config.attack.norm=l3"], "attack.norm='l3'"),
        ([*TRAIN, "--config.attack.return_iterate=first"], "attack.return_iterate='first'"),
        ([*TRAIN, "--config.model.name=resnet51"], "model name 'resnet51': choose from"),
        ([*TRAIN, "--config.model.name=alexnet"], "variant"),
        ([*TRAIN, "--config.model.classes=5"], "set --config.model.classes=10"),
        ([*TRAIN, "--config.batch_size=7"], "set it to a multiple of 2"),
        ([*TRAIN, "--config.epochs=0"], "epochs=0"),
        ([*TRAIN, "--config.data.name=mnits"], "mnist"),
        ([*TRAIN, FOLDER, "--config.data.path=/no"], "'/no' is no folder; set --config.data.path"),
        ([*TRAIN, "--config.data.resize=8"], "data.resize=8: give at least image_size=16"),
        ([*TRAIN, "--config.data.workers=-2"], "data.workers=-2"),
        ([*TRAIN, *ONE_CLASS, "--config.model.classes=1"], "model.classes=1: a classifier of one"),
        ([*TRAIN, "--config.attack.eps=8", "--config.attack.norm=linf"], "did you mean 8/255?"),
        ([*TRAIN, "--config.attack.steps=0"], "attack.steps=0 with eps="),
        ([*EVALUATE, "--config.more=('gs://bucket/run',)"], "--config.more=gs://bucket/run: rrjax"),
        (["train", "--config=kim_mnist:l2"], "l2: give norm and eps, such as l2,0.4 or"),
        ([*EVALUATE, "--config.standard=/no"], "not a run folder"),
        ([*EVALUATE, "--config.steps=(0,)"], "steps=(0,)"),
        ([*EVALUATE, "--config.eps=()"], "eps=()"),
        ([*EVALUATE, "--config.n=1"], "n=1: give 2 test images or more"),
        (["train", "--config=vaegan_digits", SYNC], "a vaegan normalizes on each device"),
        ([*EVALUATE, "--config.norm=linf", "--config.eps=(8,)"], "eps=8: an linf eps is in units"),
        ([*EVALUATE, "--config.eps=(1e400,)"], "eps=inf: it must not be negative, and finite"),
        ([*TRAIN, "--config.optimizer.momentum=-3"], "optimizer.momentum=-3.0"),
        ([*TRAIN, "--config.model.mean=(79.,)"], "of pixels in [0,1]"),
        ([*INVERSION, "--config.n=1"], "n=1"),
        ([*INVERSION, "--config.robust=/no/such"], "not a run folder"),
        (["study", "--config=inversion:big"], "choose from small, paper"),
        (IMPORT, "--config.file is empty: name the checkpoint"),
        ([*IMPORT, "--config.file=/no/such"], "/no/such: cannot be read (No such file"),
        ([*IMPORT, "--config.file=README.md"], "is neither torch's nor safetensors"),
        ([*IMPORT, "--config.convert=both"], "choose one of import, export, untrained"),
        (["convert", "--config=import_torch"], "of the network behind a colon"),
        (["convert", "--config=import_torch:no"], "No module named 'rrjax.configs.no'"),
        (["convert", "--config=import_torch:evaluate"], "is no training config"),
        (["convert", "--config=import_lpips:vgg19"], "choose alexnet or vgg16"),
        (["convert", "--config=export_torch", "--config.run=/no"], "not a run folder"),
        (["prepare", "--config=prepare_folder", "--config.prepare=sets"], "or folder"),
        (["prepare", "--config=prepare_folder", "--config.folder=/no"], "--config.name=''"),
        (["prepare", "--config=prepare_imagenet"], "--config.tars='' holds neither"),
        ([*BENCH, "--config.bench=all"], "choose one of compiled"),
        ([*BENCH, "--config.workers=(-1,)"], "workers=(-1,)"),
        ([*BENCH, "--config.rounds=0"], "rounds=0"),
        (["bench", "--config=bench_retraining", "--config.rounds=0"], "rounds=0"),
        (["bench", "--config=bench_cpu", CASES], "('train', 'tiny'): give (kind, name,"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value[-2:]),
)
def test_a_bad_value_gets_one_line_and_writes_nothing(arguments, message, tmp_path):
    assert message in refused(*arguments, f"--workdir={tmp_path / 'run'}")
    assert not (tmp_path / "run").exists()
