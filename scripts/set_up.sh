#!/bin/sh
# Runs set_up.py with any Python that answers: a `python3` on PATH may be a shim that
# refuses, and set_up.py itself only needs 3.8. It then finds the Python that we need.
here=$(dirname "$0")
for python in "${PYTHON:-python3}" python3 python3.13 python3.12 python3.11 python3.10 \
    /usr/bin/python3 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin/python3; do
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 8))' 2>/dev/null; then
        exec "$python" "$here/set_up.py" "$@"
    fi
done
echo "set-up: no Python of version 3.8 or newer answers; install python3" >&2
exit 1
