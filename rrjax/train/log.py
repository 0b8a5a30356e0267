"""What a training tells: metrics.jsonl, TensorBoard, a progress bar on a terminal, a line else."""

import json
from collections.abc import Generator
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import IO

import jax
from tensorboardX import SummaryWriter
from tqdm import tqdm

from rrjax.runs.files import replace_text


class Log:
    """The outputs of one process; the first of several writes for all, the others nothing."""

    def __init__(self, name: str, total: int, bar: tqdm):
        """Tell of a run `name` of `total` steps, on a bar."""
        self.name, self.total, self.bar = name, total, bar
        self.file: IO[str] | None = None
        self.board: SummaryWriter | None = None

    def write(self, step: int, values: dict[str, float]) -> None:
        """Write the values of a step to the files."""
        if self.file:
            self.file.write(json.dumps({"step": step, **values}) + "\n")
        if self.board:
            for name, value in values.items():
                self.board.add_scalar(name, value, step)

    def training(self, step: int, means: dict[str, float], seconds_left: float) -> None:
        """Write a line of means over training steps, and move the bar; without a terminal, print.

        seconds_left: until the last step, if all are as fast.
        """
        self.write(step, means)
        loss, rate = f"{means['train_loss']:.3f}", means["images_per_second"]
        self.bar.update(step - self.bar.n)
        self.bar.set_postfix(loss=loss)
        if self.file and self.bar.disable:
            left = timedelta(seconds=round(seconds_left))
            speed = f"{rate:,.0f} images/s" if rate >= 10 else f"{rate:.2g} images/s"
            line = f"{self.name}: step {step}/{self.total}  loss {loss}  {speed}  {left} left"
            print(line, flush=True)

    def evaluation(self, step: int, scores: dict[str, float]) -> None:
        """Write the scores of an evaluation and print them, in a batch job too."""
        self.write(step, {f"test_{name}": value for name, value in scores.items()})
        if self.file:
            line = "  ".join(f"{name} {value:.4f}" for name, value in scores.items())
            tqdm.write(f"{self.name}: step {step}/{self.total}  {line}")


@contextmanager
def open_log(workdir: Path, step: int, total: int, tensorboard: bool) -> Generator[Log, None, None]:
    """Open the log of a run that goes on from `step`; its files lose what came after."""
    first = jax.process_index() == 0
    hidden = None if first else True  # None: where there is no terminal
    with ExitStack() as stack:
        bar = tqdm(total=total, initial=step, disable=hidden, unit="step", desc=workdir.name)
        log = Log(workdir.name, total, stack.enter_context(bar))
        if first:
            path = workdir / "metrics.jsonl"
            if path.exists():
                _drop_lines_after(step, path)
            log.file = stack.enter_context(path.open("a", buffering=1))
            if tensorboard:
                log.board = SummaryWriter(str(workdir / "tensorboard"), purge_step=step + 1)
                stack.enter_context(closing(log.board))
        yield log


def _drop_lines_after(step: int, path: Path) -> None:
    """Drop what a killed run wrote for steps that it did not save, and that will come again."""
    lines = path.read_text().split("\n")[:-1]  # the last line may be half a line
    saved = [line for line in lines if json.loads(line)["step"] <= step]
    if lines and not saved:  # it may be that the checkpoints were lost, and this is all there is
        replace_text(path.with_name("metrics.old.jsonl"), path.read_text())
    replace_text(path, "".join(f"{line}\n" for line in saved))
