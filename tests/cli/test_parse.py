"""Laws of the command line: names, paths, the default workdir, the compile cache, exit codes."""

import io
import os
import pwd
import sys
from importlib import metadata

import jax
import jax.numpy as jnp
import pytest
from absl import flags, logging

import rrjax
from commands import refused
from paths import ROOT
from rrjax import BadInput, Stopped, cli

OWN = """
from ml_collections import ConfigDict


def get_config(size="small"):
    inner = {"rate": 0.5, "paths": ()}
    fields = {"n": 1, "size": size, "path": "", "flip": True, "inner": inner}
    return ConfigDict(fields).lock()
"""


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Return a folder of a user, the current one, that holds mine.py and code/deep/mine.py."""
    (tmp_path / "mine.py").write_text(OWN)
    (tmp_path / "code/deep").mkdir(parents=True)
    (tmp_path / "code/deep/mine.py").write_text(OWN.replace('"n": 1', '"n": 2'))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def parse(*arguments):
    return cli.parse(["rrjax.command", *arguments])


def test_a_name_is_a_shipped_config_from_any_folder(elsewhere):
    config, workdir = parse("--config=robust_digits")
    assert (config.model.name, config.attack.eps) == ("resnet8", 2.0)
    assert workdir == "runs/robust_digits"
    assert parse("--config", "robust_rin")[0].data.name == "restricted_imagenet"
    assert cli.load_config("robust_digits").to_dict() == config.to_dict()


def test_a_path_is_one_of_the_clone_or_the_users(elsewhere, monkeypatch):
    for path in ("mine.py", "./mine.py", str(elsewhere / "mine.py")):
        config, workdir = parse(f"--config={path}")
        assert (config.n, workdir) == (1, "runs/mine")
    config, workdir = parse("--config=code/deep/mine.py", "--workdir=here")
    assert (config.n, workdir) == (2, "here")
    monkeypatch.chdir(ROOT)
    assert parse("--config=configs/robust_rin.py") == parse("--config=robust_rin")


def test_an_argument_stands_behind_a_colon(elsewhere):
    assert parse("--config=kim_cifar10:linf,0.04")[0].attack.eps == 0.02
    config, workdir = parse("--config=mine.py:large")
    assert (config.size, workdir) == ("large", "runs/mine")


def test_a_field_is_replaced_and_keeps_its_type(elsewhere):
    config, _ = parse("--config=mine.py", "--config.n=3", "--config.inner.rate=1")
    assert (config.n, config.inner.rate) == (3, 1.0)
    assert isinstance(config.inner.rate, float) and config.is_locked


def test_the_home_folder_of_a_workdir(elsewhere, monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    assert parse("--config=mine.py", "--workdir=~/x")[1] == "/home/someone/x"
    assert parse("--config=mine.py", "--workdir=")[1] == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--config=robust_digitz"],
            "neither a file nor a shipped config; did you mean robust_digits",
        ),
        (["--config=nothing.py"], "--config=nothing.py: no such file"),
        (["--config=broken.py"], "--config cannot be loaded: NameError"),
        (["--config=mine.py", "--config.m=1"], "no field m; choose from "),
        (
            ["--config=mine.py", "--config.iner.rate=1"],
            "iner.rate; did you mean inner.rate?",
        ),
        (["--config=mine.py", "--n=3"], "--n: there is no such flag; did you mean --config.n?"),
        (["--config=mine.py", "--workdir=gs://b/run"], "--workdir=gs://b/run: rrjax reads and"),
        (["--config=mine.py", "--config.path=s3://x"], "--config.path=s3://x: rrjax reads and"),
        (
            ["--config=mine.py", "--config.inner.paths=('a','gs://x')"],
            "--config.inner.paths=gs://x",
        ),
        (["--config=mine.py", "--config.n=half"], "--config.n=half: give a whole number"),
        (["--config=mine.py", "--config.inner.rate=half"], "inner.rate=half: give a number"),
        (["--config=mine.py", "--config.flip=yes"], "--config.flip=yes: give true or false"),
        (["--config=mine.py", "--workdirs=x"], "Unknown command line flag 'workdirs'"),
        (["--config=mine.py", "workdir=x"], "unexpected argument 'workdir=x': flags are written"),
        ([], "--config"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_a_command_line_that_does_not_fit(arguments, message, elsewhere):
    (elsewhere / "broken.py").write_text("raise NameError('NameError: none')")
    with pytest.raises(BadInput) as caught:
        parse(*arguments)
    assert message in str(caught.value)


def test_other_flags_are_a_commands_own(elsewhere):
    own = flags.FlagValues()
    flags.DEFINE_integer("processes", 1, "How many.", flag_values=own)
    cli.parse(["rrjax.command", "--config=mine.py", "--processes=3"], own)
    assert own.processes == 3
    with pytest.raises(BadInput, match="processes"):
        parse("--config=mine.py", "--processes=3")  # of another command, in the same process


def test_libraries_log_only_when_they_are_asked(elsewhere):
    before = logging.get_verbosity()
    try:
        parse("--config=mine.py")
        assert logging.get_verbosity() == logging.FATAL
        parse("--config=mine.py", "--verbosity=1")
        assert logging.get_verbosity() == logging.DEBUG
    finally:
        logging.set_verbosity(before)


def run(capsys, *arguments, action=lambda config, workdir: None):
    """Return the exit code and the output of a command whose configs have a field n."""
    try:
        cli.run_command(action, "n", ["rrjax.command", *arguments], "What it does.")
    except SystemExit as end:
        return end.code, capsys.readouterr()
    return 0, capsys.readouterr()


def test_help_needs_no_config_and_does_nothing(elsewhere, capsys):
    def action(config, workdir):
        raise AssertionError

    code, shown = run(capsys, "--help", action=action)
    assert code == 0 and shown.err == ""
    assert shown.out.startswith("What it does.\n")
    assert "--config" in shown.out and "--workdir" in shown.out


def test_exit_codes(elsewhere, capsys):
    seen = []
    code, _ = run(capsys, "--config=mine.py", action=lambda *given: seen.append(given))
    assert code == 0 and seen[0][0].n == 1 and seen[0][1] == "runs/mine"

    def refuse(config, workdir):
        raise BadInput("n=1:\n  give 2")

    code, shown = run(capsys, "--config=mine.py", action=refuse)
    assert (code, shown.err) == (2, "error: n=1: give 2\n")

    def stop(config, workdir):
        raise Stopped("interrupted at step 7/22")

    code, shown = run(capsys, "--config=mine.py", action=stop)
    assert (code, shown.err) == (75, "interrupted at step 7/22\n")
    code, shown = run(capsys, "--config=robust_digits")
    assert code == 2 and "no field 'n': it is another command's config" in shown.err


def test_a_config_says_how_precise_products_are(elsewhere, capsys):
    seen = []

    def action(config, workdir):
        product = jax.make_jaxpr(jnp.dot)(jnp.ones(2), jnp.ones(2)).eqns[0]
        seen.append(product.params["precision"])

    run(capsys, "--config=evaluate", action=action)
    run(capsys, "--config=evaluate", "--config.matmul_precision=default", action=action)
    assert [precision[0].name for precision in seen] == ["HIGHEST", "DEFAULT"]
    code, shown = run(capsys, "--config=evaluate", "--config.matmul_precision=best", action=action)
    assert code == 2 and "'best': choose from default, high, highest" in shown.err


def test_run_chosen_names_what_there_is():
    act = cli.run_chosen("rrjax.study", "study", ("inversion", "masking"))
    with pytest.raises(BadInput, match=r"config.study='magic': choose one of inversion, masking"):
        act({"study": "magic"}, "")
    assert "choose one of" in refused(
        "study", "--config=configs/inversion.py", "--config.study=magic"
    )


@pytest.fixture
def no_cache():
    """Let a test choose the folder of compiled programs; put the tests' own back."""
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    yield
    jax.config.update("jax_compilation_cache_dir", before)


def test_the_cache_lies_in_the_home_folder(no_cache, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    cli.enable_compilation_cache()
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / ".cache/rrjax/programs")


def test_without_a_home_folder_there_is_no_cache_and_no_error(no_cache, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    cli.enable_compilation_cache()
    assert jax.config.jax_compilation_cache_dir is None

    def unknown(user):
        raise KeyError(user)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    cli.enable_compilation_cache()
    assert jax.config.jax_compilation_cache_dir is None


def test_half_written_programs_are_removed(no_cache, tmp_path):
    for name in ("whole-cache", "whole-atime", "half-cache", "other"):
        (tmp_path / name).touch()
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    cli.enable_compilation_cache()
    left = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")}
    assert left == {"whole-cache", "whole-atime", "other"}


def test_the_version_of_a_clone_that_is_not_installed(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert f"version = {rrjax.__version__}\n" in (ROOT / "setup.cfg").read_text()


def test_fractions_are_numbers(elsewhere):
    config, _ = parse("--config=mine.py", "--config.inner.rate=8/255")
    assert config.inner.rate == 8 / 255
    config, _ = parse("--config=evaluate", "--config.eps=(0, 8/255,1.5 / 3)")
    assert config.eps == (0, 8 / 255, 0.5)
    config, _ = parse("--config=evaluate", "--config.more=('runs/3/4',)", "--config.robust=a/1/2")
    assert (config.more, config.robust) == (("runs/3/4",), "a/1/2")


def test_a_platform_that_is_not_there(elsewhere, capsys, monkeypatch):
    def devices():
        raise AssertionError  # as jax does where JAX_PLATFORMS=cuda finds none

    monkeypatch.setattr(jax, "devices", devices)
    code, shown = run(capsys, "--config=mine.py")
    assert code == 2 and "JAX_PLATFORMS=cpu: no such device here" in shown.err
    assert len(shown.err.splitlines()) == 1


def test_a_name_that_is_no_text_is_printed(elsewhere, monkeypatch):
    shown = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", shown)
    action = lambda config, workdir: print(os.fsdecode(b"caf\xe9.jpg"))  # noqa: E731
    cli.run_command(action, "n", ["rrjax.command", "--config=mine.py"])
    shown.flush()
    assert b"\ncaf\\udce9.jpg\n" in shown.buffer.getvalue()
