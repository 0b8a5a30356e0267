# shellcheck shell=bash
# Sourced by the other scripts: makes .venv if it is absent, installs rrjax[$EXTRAS] where setup.cfg
# changed since the last install, and puts it first on the path.
modern='import sys; sys.exit(sys.version_info < (3, 11))'
if [ ! -x .venv/bin/pip ]; then
  if ! "${PYTHON:=python3}" -c "$modern"; then
    echo "error: ${PYTHON} is not a Python of 3.11 or newer: set PYTHON=/path/to/one" >&2
    exit 2
  fi
  "$PYTHON" -m venv --clear .venv
elif ! .venv/bin/python -c "$modern"; then
  echo "error: .venv was made by a Python older than 3.11: remove it" >&2
  exit 2
fi
# Not `activate`: that would go on naming the old place after the clone is moved.
export PATH="$PWD/.venv/bin:$PATH"
# Huge pages for what XLA:CPU allocates anew at every step (docs/performance.md); glibc before 2.35 and
# other libraries ignore it.
export GLIBC_TUNABLES=${GLIBC_TUNABLES-glibc.malloc.hugetlb=1}
stamp=".venv/installed${EXTRAS:+-$EXTRAS}"
if [ ! "$stamp" -nt setup.cfg ]; then
  echo "Installing rrjax into .venv ..."
  python -m pip install --quiet --editable ".${EXTRAS:+[$EXTRAS]}"
  touch "$stamp"
fi
