#!/bin/bash
# Installs idle-reaper from the folder this lies in, without a network: bash install.sh FOLDER [PYTHON]
# FOLDER becomes a virtual environment; its bin/reaper is the command. Without PYTHON the one that came in the bundle
# is used, else one is looked for on PATH, in conda environments and below /opt.
set -euo pipefail

# include find-python.sh

die() {
  printf 'install.sh: %s\n' "$*" >&2
  exit 1
}

field() { sed -n "s/^$1=//p" MANIFEST; }

case $# in 1 | 2) ;; *) die 'usage: bash install.sh FOLDER [PYTHON]' ;; esac
into=$(realpath -m -- "$1")
PYTHON=${2:-}
cd "$(dirname "${BASH_SOURCE[0]}")"

sha256sum --check --quiet --strict SHA256SUMS || die 'a file of the bundle is damaged or missing'
tag=$(field python) arch=$(field arch) glibc=$(field glibc)
if [ -e "$into/pyvenv.cfg" ]; then rm -rf "$into"; fi
mkdir -p "$into"
[ -z "$(ls -A "$into")" ] || die "$into holds something else: name another folder"

if [ -z "$PYTHON" ] && [ -d python ]; then
  cp -R python "$into/python"
  python=$into/python/bin/python3
  why=$(probe "$python" -E -s - "$tag" "$arch" "$glibc" 2>&1) || die "the Python in the bundle can't be used here: $why"
else
  python=$(find_python "$tag" "$arch" "$glibc") ||
    die "no Python fits: Python ${tag/cp3/3.} ($tag) for $arch is needed, on glibc $glibc or newer"
  if [ "$(id -u)" -eq 0 ] && [ -z "$PYTHON" ] && [ "$(owner "$python")" != root ]; then
    die "$python belongs to $(owner "$python"), and this would run it as root: name it if you mean it"
  fi
fi
"$python" -I -m venv --without-pip "$into"
pip=(wheels/pip-*.whl)
PIP_CONFIG_FILE=/dev/null "$into/bin/python" -I "${pip[0]}/pip" --isolated install --quiet --no-index --no-cache-dir \
  --find-links wheels --no-compile --root-user-action ignore --disable-pip-version-check "idle-reaper==$(field version)"
printf '%s is in %s/bin, on %s\n' "$("$into/bin/reaper" --version)" "$into" "$python"
