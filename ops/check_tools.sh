#!/usr/bin/env bash
# What has to be on the machine beforehand. Each line names what is missing or too old, and where to get it.
set -uo pipefail

status=0
# need NAME VERSION WHERE: VERSION is what `NAME` must at least be; the version found comes on stdin, empty if none
need() {
  local found
  read -r found || true
  if [ -z "$found" ]; then
    echo "$1 is missing: $1 $2 or newer is needed; get it from $3." >&2
    status=1
  elif [ "$(printf '%s\n%s\n' "$2" "$found" | sort -V | head -1)" != "$2" ]; then
    echo "$1 $found is too old: $1 $2 or newer is needed; get it from $3." >&2
    status=1
  fi
}

need Python 3.11 https://www.python.org/downloads < <(python3 -c 'import platform; print(platform.python_version())' 2>/dev/null)
if command -v python3 >/dev/null && ! python3 -c 'import ensurepip' >/dev/null 2>&1; then
  echo "Python cannot make environments here: install python3-venv." >&2
  status=1
fi
need Terraform 1.11 https://developer.hashicorp.com/terraform/install < <(terraform version 2>/dev/null | sed -n 's/^Terraform v//p')
need git 2.0 https://git-scm.com/downloads < <(git --version 2>/dev/null | awk '{print $3}')
exit $status
