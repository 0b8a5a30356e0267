"""The compilers' bench: its arithmetic, its tables, and a compiler where one is installed."""

import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache
from jax.sharding import Mesh

from commands import refused, results, works
from rrjax import BadInput
from rrjax.bench import chips, compiled

CONFIG = "--config=configs/bench_compiled.py"


@pytest.mark.parametrize(
    ("most", "start", "limit", "expected", "tried"),
    [
        (100, 16, 1024, 64, [16, 32, 64, 128]),
        (100, 128, 1024, 64, [128, 64]),
        (100, 16, 32, 32, [16, 32]),  # the search ends there
        (0, 4, 64, 0, [4, 2, 1]),
        (5, 3, 64, 3, [3, 6]),
    ],
)
def test_the_largest_batch_that_fits(most, start, limit, expected, tried):
    asked = []

    def fits(n):
        asked.append(n)
        return n <= most

    assert compiled.largest(fits, start, limit) == expected
    assert asked == tried


def test_the_roofline():
    """An H100 moves 3.35e12 bytes and does 989.5e12 operations a second in bfloat16."""
    h100 = chips.CHIPS["h100"]
    assert compiled.bound(6.7e12, 989.5e12, h100, "bfloat16") == (2.0, "memory")
    assert compiled.bound(3.35e12, 3 * 989.5e12, h100, "bfloat16") == (3.0, "arithmetic")
    assert compiled.bound(0, 989.5e12, h100, "float32") == (2.0, "arithmetic")  # TF32


def test_a_gpu_keeps_a_share_of_its_memory():
    assert chips.usable(chips.CHIPS["h100"], 0.75) == 0.75 * 84_942_979_072
    assert chips.usable(chips.CHIPS["v5e"], 0.75) == 16 * 2**30


@pytest.fixture
def on_the_cpu(monkeypatch):
    """This machine's compiler takes the place of each chip's."""
    monkeypatch.setattr(chips, "check", lambda names: None)
    monkeypatch.setattr(
        chips, "mesh", lambda chip, n: Mesh(np.array(jax.devices()[:n]), ("batch",))
    )


@pytest.mark.slow
def test_tables_of_what_was_compiled(on_the_cpu, tmp_path):
    document = tmp_path / "document.md"
    document.write_text("<!-- compiled -->\n<!-- end of compiled -->\n")
    kinds = ("adversarial", "standard", "evaluation", "inversion")
    cases = tuple((kind, "tiny", "cifar", 8, 2) for kind in kinds)
    small = [CONFIG, f"--workdir={tmp_path}", "--config.chips=('v5e',)", "--config.devices=(2,)"]
    small += ["--config.training.attack.steps=3", "--config.evaluation_steps=2"]
    small += ["--config.inversion_steps=2", f"--config.document={document}"]
    works("bench", *small, f"--config.cases={cases}", "--config.most_images=0")
    rows = results(tmp_path)["compiled"]["rows"]
    assert [row["kind"] for row in rows] == [*kinds]
    for row in rows:
        assert row["fits"] and row["most_images"] is None
        assert (row["iteration"]["all"]["bytes"] > 0) == (row["kind"] != "standard")
        assert (row["collectives"]["number"] > 0) == (row["kind"] != "inversion")
        moved = row["rest"]["all"]["bytes"] + row["steps"] * row["iteration"]["all"]["bytes"]
        assert row["limit"] == "memory"
        assert row["most_images_per_second"] == pytest.approx(2 * row["n"] * 819e9 / moved)
    tables = document.read_text()
    assert "| adversarial tiny 8, bfloat16, 3 steps | 2 x v5e | 2 |  | " in tables
    assert "| 2 x v5e | 2 | an iteration |  | " in tables
    # The document's tables are made again from what the folder has, and no other program is lost.
    works("bench", *small, "--config.cases=()")
    assert document.read_text() == tables
    works("bench", *small, f"--config.cases={cases[:1]}", "--config.most_images=4")
    rows = results(tmp_path)["compiled"]["rows"]
    order = [*kinds[1:], "adversarial", "adversarial"]
    assert [(row["kind"], row["n"]) for row in rows] == [*zip(order, (2, 2, 2, 2, 4), strict=True)]
    assert "| 2 x v5e | 4 | 4 or more | " in document.read_text()


def test_a_program_that_does_not_fit(on_the_cpu, tmp_path, monkeypatch):
    """A GPU's compiler makes it all the same; a TPU's makes nothing."""
    case = "--config.cases=(('standard', 'tiny', 'cifar', 8, 4),)"
    small = [CONFIG, case, f"--workdir={tmp_path}", "--config.devices=(1,)"]
    works("bench", *small, "--config.chips=('h100',)", "--config.gpu_memory_share=1e-9")
    monkeypatch.setattr(chips, "compiled", lambda chip, lowered: None)
    shown = works("bench", *small, "--config.chips=('v4',)").stdout
    rows = results(tmp_path)["compiled"]["rows"]
    assert [(row["chip"], row["fits"], row["most_images"]) for row in rows] == [
        ("h100", False, 0),
        ("v4", False, 0),
    ]
    assert "1 x v4 4 0 does not fit" in shown


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("chips=('h100', 'tpu')", "choose from a100, h100"),
        ("devices=(0, 1)", "give numbers from 1 to 8"),
        ("dtypes=('float16',)", "choose from bfloat16, float32"),
        ("gpu_memory_share=0.0", "above 0 and at most 1"),
        ("cases=(('train', 'tiny'),)", "a kind of adversarial"),
        ("document=none.md", "the document needs the lines <!-- compiled -->"),
    ],
)
def test_what_cannot_be_compiled(field, said, tmp_path):
    command = [CONFIG, f"--workdir={tmp_path}", "--config.chips=()", f"--config.{field}"]
    assert said in refused("bench", *command)


def test_nothing_is_written_to_the_cache_of_programs(tmp_path):
    """jax could not read it again without the chip."""
    before = jax.config.values["jax_compilation_cache_dir"]
    try:
        jax.config.update("jax_compilation_cache_dir", str(tmp_path))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        compilation_cache.reset_cache()
        chips.compiled(chips.CHIPS["v5e"], jax.jit(lambda x: x + 1).lower(1.0))
        assert not [*tmp_path.glob("*-cache")]
        jax.jit(lambda x: x + 1).lower(1.0).compile()
        assert [*tmp_path.glob("*-cache")]
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
        compilation_cache.reset_cache()


def test_without_a_compiler(monkeypatch):
    monkeypatch.setattr(chips, "_installed", lambda distribution: distribution != "libtpu")
    chips.check(("h100",))
    with pytest.raises(BadInput, match=r"\['v4'\].*libtpu.*pip install 'rrjax\[aot-tpu\]'"):
        chips.check(("h100", "v4"))


@pytest.mark.slow
@pytest.mark.parametrize("chip", ["h100", "v5e"])
def test_a_compiler(chip, tmp_path):
    """Compile a small training step for a node of 8, where the chip's compiler is installed."""
    try:
        chips.check((chip,))
    except BadInput as missing:
        pytest.skip(str(missing))
    command = [CONFIG, f"--workdir={tmp_path}", f"--config.chips=('{chip}',)"]
    command += ["--config.cases=(('adversarial', 'tiny', 'cifar', 32, 8),)"]
    works("bench", *command, "--config.devices=(8,)", "--config.most_images=0")
    (row,) = results(tmp_path)["compiled"]["rows"]
    assert row["fits"] and row["collectives"]["number"] == 1
    for part in ("iteration", "rest"):  # a small convolution may be a product
        assert {"convolution", "product"} & set(row[part])
