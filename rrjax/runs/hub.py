"""Files of the Hugging Face Hub, fetched by its own client into its own cache.

The client is the extra `rrjax[hub]`; it follows HF_ENDPOINT, HF_HUB_OFFLINE, HF_HOME and HF_TOKEN.
"""

import errno
import re
from pathlib import Path
from typing import NamedTuple

from rrjax import BadInput

PREFIX = "hf:"
_ADDRESS = re.compile(r"hf:(?P<repository>[^/@]+/[^/@]+)(/(?P<file>[^@]+))?(@(?P<revision>.+))?")


class Address(NamedTuple):
    """Where a file lies: the repository OWNER/NAME, the file in it ("": none), the revision."""

    repository: str
    file: str
    revision: str


def parse(text: str) -> Address:
    """Read "hf:OWNER/REPO", "hf:OWNER/REPO/FILE" or either with "@REVISION"; else of main.

    Raises:
      BadInput: for another text.
    """
    match = _ADDRESS.fullmatch(text)
    if match is None:
        raise BadInput(f"{text!r}: give hf:OWNER/REPO or hf:OWNER/REPO/FILE, and @REVISION or none")
    return Address(match["repository"], match["file"] or "", match["revision"] or "main")


def check_repository(repository: str) -> None:
    """Check that a text is OWNER/NAME.

    Raises:
      BadInput: if it is not.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise BadInput(f"repository {repository!r}: name where the network will lie, OWNER/NAME")


def fetch(address: Address) -> Path:
    """Return the path of a file in the hub's cache, which is asked first; download it if need be.

    A commit as revision needs no network the second time.

    Raises:
      BadInput: without the client, the network, the file or the space for it, and for one that
        arrives cut off, or as a web page.
    """
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ImportError as error:
        raise BadInput(
            f"{_shown(address)} is fetched by huggingface_hub, which is not installed: "
            "pip install 'rrjax[hub]', or load a file that you fetched by its path"
        ) from error
    try:
        path = _download(address)
    except errors.GatedRepoError as error:
        raise BadInput(f"{_shown(address)} is for those with access: run hf auth login") from error
    except (
        errors.RepositoryNotFoundError,
        errors.RevisionNotFoundError,
        errors.RemoteEntryNotFoundError,
        errors.HFValidationError,
    ) as error:
        raise BadInput(
            f"{_shown(address)}: the hub has no such file; check owner, name, file, revision, "
            "and of a private one HF_TOKEN"
        ) from error
    except (errors.HTTPError, OSError) as error:
        absent = not isinstance(error, OSError) or isinstance(
            error, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled
        )
        raise BadInput(
            f"{_shown(address)} is not on this machine yet, and the hub "
            f"{huggingface_hub.constants.ENDPOINT} does not answer ({_reason(error)}): connect, or "
            "copy the file here and load it by its path"
            if absent
            else f"{_shown(address)}: {_failure(error)}"
        ) from error
    _refuse_page(path, address)
    return path


def _download(address: Address) -> Path:
    import huggingface_hub

    repository, file, revision = address
    cached = huggingface_hub.try_to_load_from_cache(repository, file, revision=revision)
    if not isinstance(cached, str):
        # Asked once: without a network the download would try for half a minute.
        huggingface_hub.get_hf_file_metadata(
            huggingface_hub.hf_hub_url(repository, file, revision=revision)
        )
    return Path(huggingface_hub.hf_hub_download(repository, file, revision=revision))


def forget(path: Path) -> None:
    """Delete a file from the hub's cache, so that it is downloaded anew."""
    blob = path.resolve()
    path.unlink(missing_ok=True)
    blob.unlink(missing_ok=True)


def _refuse_page(path: Path, address: Address) -> None:
    with path.open("rb") as file:
        page = file.read(512).lstrip().startswith(b"<")
    if page:
        forget(path)
        raise BadInput(
            f"{_shown(address)}: a web page came in its place, as of a network that asks for a "
            "login: connect, and load it again"
        )


def _failure(error: Exception) -> str:
    """Say why a download ended, and what to do."""
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return "no space left for it: make room, or set HF_HOME to a folder on another disk"
    return f"the download failed ({_reason(error)}): load it again"


def _reason(error: BaseException) -> str:
    return " ".join(str(error.__cause__ or error).split())[:200]


def _shown(address: Address) -> str:
    return f"{PREFIX}{address.repository}/{address.file}@{address.revision[:12]}"
