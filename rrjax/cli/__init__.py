"""What every command shares: flags become a config, bad input one line and exit code 2."""

from rrjax.cli.command import exit_with_error, run_chosen, run_command
from rrjax.cli.parsing import config_file, load_config, parse, shipped_configs
from rrjax.cli.processes import check_devices, devices, join, process_flags, seconds_run
from rrjax.cli.programs import cache_folder, enable_compilation_cache

__all__ = [
    "cache_folder",
    "check_devices",
    "config_file",
    "devices",
    "enable_compilation_cache",
    "exit_with_error",
    "join",
    "load_config",
    "parse",
    "process_flags",
    "run_chosen",
    "run_command",
    "seconds_run",
    "shipped_configs",
]
