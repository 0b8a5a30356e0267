"""What setup.cfg cannot say: a wheel holds configs/ as rrjax.configs, and the marker py.typed.

In a clone the configs lie beside the package, where people edit them (see rrjax/__init__.py).
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildPackage(build_py):
    """Build the package with its configs inside."""

    def run(self) -> None:
        """Copy modules, configs and the marker; an editable install copies nothing."""
        if self.editable_mode:
            super().run()
            return
        package = Path(self.build_lib, "rrjax")
        shutil.rmtree(package, ignore_errors=True)  # modules of an older build
        super().run()
        (package / "configs").mkdir()
        for path in sorted(Path("configs").glob("*.py")):
            shutil.copy(path, package / "configs")
        (package / "py.typed").touch()


setup(cmdclass={"build_py": BuildPackage})
