# Sourced by the other scripts: makes .venv if it is absent, installs rrjax[$EXTRAS] where
# setup.cfg changed since the last install, and activates it.
if ! "${PYTHON:=python3}" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "error: $PYTHON is older than Python 3.11: set PYTHON=/path/to/a/newer/python" >&2
  exit 2
fi
[ -d .venv ] || "$PYTHON" -m venv .venv
source .venv/bin/activate
stamp=".venv/installed${EXTRAS:+-$EXTRAS}"
if [ ! "$stamp" -nt setup.cfg ]; then
  echo "Installing rrjax into .venv ..."
  python -m pip install --quiet --editable ".${EXTRAS:+[$EXTRAS]}"
  touch "$stamp"
fi
