#!/bin/bash
# idle-reaper in a JupyterServer app of SageMaker Studio Classic, with any version of JupyterLab; written by reaper lcc render
# Installs and starts the daemon in the background and returns at once; what goes on, and what fails, is in
# ROOT/reaper.log. The app starts in any case. `bash THIS work` does the same in the foreground.
set -euo pipefail
trap 'echo "idle-reaper: ended with status $?; the app is not affected"; exit 0' EXIT
export HOME=${HOME:-~}
unset "${!REAPER_@}" # what stands here holds, not what an image says

# --- settings, by reaper lcc render ---
VERSION='0.1.0'
BUNDLE='' # made by make bundle; empty: pip, from the internet
SHA256=''
PYTHON='' # empty: looked for
ROOT='/var/tmp/idle-reaper'
COMMAND="$HOME/.local/bin/reaper"
export REAPER_MODE='dry-run'
export REAPER_PRESET='studio'
export REAPER_IDLE_TIMEOUT='120m'
# --- end ---
LOG=$ROOT/reaper.log
SYSTEMD=/run/systemd/system
UNIT=/etc/systemd/system/reaper-lifecycle.service

# probe COMMAND... TAG ARCH GLIBC: says why a Python does not fit. It may be any that is called so: Python 2 reads this.
probe() {
  timeout 20 "$@" <<'END'
import platform, sys
def no(why):
    sys.stdout.write(why)
    sys.exit(1)
tag, arch, glibc = sys.argv[1:]
own = "%d.%d" % sys.version_info[:2]
if sys.version_info < (3, 11):
    no("Python " + own)
try:
    import ctypes, sqlite3, ssl, sysconfig, venv, zlib
except ImportError:
    no("Python %s, but: %s" % (own, sys.exc_info()[1]))
abi = "cp" + own.replace(".", "") + ("t" if sysconfig.get_config_var("Py_GIL_DISABLED") else "")
if sys.implementation.name != "cpython" or tag not in ("", abi):
    no("%s %s (%s)" % (sys.implementation.name, own, abi))
if arch not in ("", platform.machine()):
    no("for " + platform.machine())
libc, version = platform.libc_ver()
number = lambda text: [int(part) for part in text.split(".")[:2]]
if glibc and (libc != "glibc" or number(version) < number(glibc)):
    no("on " + (libc + " " + version if libc else "another C library than glibc"))
END
}

owner() { stat -L -c %U "$1"; }

# AS: what commands of a user begin with. As root, what is somebody else's is run as that user: nobody becomes root by
# changing their own Python.
become() {
  AS=(env)
  if [ "$(id -u)" -eq 0 ] && [ "$1" != root ]; then
    AS=(setpriv --reuid "$(id -u "$1")" --regid "$(id -g "$1")" --init-groups -- env "HOME=$(getent passwd "$1" | cut -d: -f6)")
  fi
}

candidates() {
  local name folder
  for name in python3 python python3.1{1..9}; do command -v "$name" || :; done
  for folder in "${CONDA_PREFIX:-/opt/conda}" /opt/conda{,/envs/*} /opt/*{,/envs/*} /opt/.sagemakerinternal/conda \
    "$HOME"/{*conda*{,/envs/*},.conda/envs/*} /home/ec2-user/*conda*{,/envs/*} /usr/local /usr; do
    for name in "$folder"/bin/python3{,.1[1-9]}; do
      if [ -x "$name" ]; then printf '%s\n' "$name"; fi
    done
  done
}

# find_python TAG ARCH GLIBC: prints the first that fits (empty: any will do), and on stderr why the others do not.
find_python() {
  local one why seen=:
  while IFS= read -r one; do
    case $seen in *":$one:"*) continue ;; esac
    seen+="$one:"
    if become "$(owner "$one")" && why=$(probe "${AS[@]}" "$one" -E -s - "$@" 2>/dev/null); then
      printf '%s\n' "$one"
      return
    fi
    printf '  %s: %s\n' "$one" "${why:-does not run}" >&2
  done < <(if [ -n "$PYTHON" ]; then printf '%s\n' "$PYTHON"; else candidates; fi)
  return 1
}

log() { printf '%s %s\n' "$(date -u +%FT%TZ)" "$*"; }

die() {
  log "FAILED: $*"
  exit 1
}

main() {
  umask 022
  mkdir -p "$ROOT"
  if [ -L "$ROOT" ] || [ ! -O "$ROOT" ]; then die "$ROOT belongs to $(owner "$ROOT"), or is a link: name another ROOT"; fi
  if [ -n "$(find "$LOG" -size +4M 2>/dev/null)" ]; then mv "$LOG" "$LOG.1"; fi
  (umask 077 && worker >"$ROOT/worker.new")
  mv "$ROOT/worker.new" "$ROOT/worker"
  if [ "${1:-}" = work ]; then exec "$BASH" "$ROOT/worker"; fi
  "$(command -v setsid || command -v nohup)" "$BASH" "$ROOT/worker" </dev/null >>"$LOG" 2>&1 &
  echo "idle-reaper: going on in the background; its log is $LOG"
}

# The script that goes on: these settings and functions. The file that they came in may be gone by then.
worker() {
  echo 'set -euo pipefail'
  declare -p VERSION BUNDLE SHA256 PYTHON ROOT COMMAND LOG SYSTEMD UNIT "${!REAPER_@}"
  declare -f
  echo work
}

work() {
  trap 'ended $?' EXIT
  cd /
  umask 022
  unset PYTHONHOME PYTHONPATH
  PATH+=:/usr/local/bin:/usr/bin:/bin:/opt/conda/bin:/opt/.sagemakerinternal/conda/bin
  lock
  install_reaper
  write_commands
  log "mode $REAPER_MODE, idle timeout $REAPER_IDLE_TIMEOUT; '$ROOT/bin/reaper status' tells what is watched"
  if [ "$(id -u)" -eq 0 ] && [ -d "$SYSTEMD" ]; then start_unit; else supervise; fi
}

ended() {
  if [ "$(readlink "$ROOT/lock")" != $$ ]; then return; fi
  if [ "$1" -ne 0 ]; then log "ended with status $1: no daemon runs; the app is not affected"; fi
  rm -rf "$ROOT/unpacked" "$ROOT/bundle.tar.gz" "$ROOT/lock"
}

# The lock is a link that names its holder: making it is atomic, and a holder that died is seen.
lock() {
  local holder _
  for _ in 1 2 3; do
    if ln -s $$ "$ROOT/lock" 2>/dev/null; then return; fi
    holder=$(readlink "$ROOT/lock") || continue
    if grep -qF "$ROOT/worker" "/proc/$holder/cmdline" 2>/dev/null; then
      log "runs already (for other settings end process $holder first): nothing to do"
      exit 0
    fi
    rm -f "$ROOT/lock"
  done
  die "$ROOT/lock can't be made"
}

install_reaper() {
  become "$(owner "$ROOT/venv" 2>/dev/null || id -un)"
  if [ "$(cat "$ROOT/installed" 2>/dev/null)" = "$VERSION $SHA256" ] && "${AS[@]}" "$ROOT/venv/bin/reaper" --version; then
    return
  fi
  rm -rf "$ROOT/installed" "$ROOT/venv" "$ROOT/unpacked"
  if [ -n "$BUNDLE" ]; then from_bundle; else from_index; fi
  echo "$VERSION $SHA256" >"$ROOT/installed"
}

from_bundle() {
  local archive=$ROOT/bundle.tar.gz sum tag arch glibc
  log "installing from $BUNDLE"
  case $BUNDLE in
    s3://*)
      command -v aws >/dev/null || die "there is no aws command to fetch $BUNDLE (PATH $PATH)"
      timeout 200 aws s3 cp --only-show-errors "$BUNDLE" "$archive" ||
        die "aws s3 cp $BUNDLE: status $?. May the role read it, and is there a way to S3 (VPC endpoint)?"
      ;;
    *) cp "$BUNDLE" "$archive" || die "$BUNDLE can't be read" ;;
  esac
  sum=$(sha256sum "$archive")
  sum=${sum%% *}
  [ "$sum" = "$SHA256" ] || die "the SHA-256 of $BUNDLE is $sum, not $SHA256: not installed"
  mkdir "$ROOT/unpacked"
  cd "$ROOT/unpacked"
  tar -xzf "$archive" --no-same-owner || die "$BUNDLE can't be unpacked: is it whole?"
  tag=$(sed -n 's/^python=//p' MANIFEST) arch=$(sed -n 's/^arch=//p' MANIFEST) glibc=$(sed -n 's/^glibc=//p' MANIFEST)
  if [ -z "$PYTHON" ] && [ -d python ]; then
    new_venv "$(id -un)"
  else
    PYTHON=$(find_python "$tag" "$arch" "$glibc") ||
      die "missing: Python ${tag/cp3/3.} ($tag) for $arch on glibc $glibc or newer. Install it, name it in PYTHON," \
        "or pack one: make bundle PYTHON=/path/to/a/relocatable/python3"
    new_venv "$(owner "$PYTHON")"
  fi
  "${AS[@]}" nice bash install.sh "$ROOT/venv" ${PYTHON:+"$PYTHON"} || die 'the bundle could not be installed (see above)'
  cd /
  rm -rf "$ROOT/unpacked" "$archive"
}

from_index() {
  log "installing idle-reaper $VERSION by pip"
  PYTHON=$(find_python '' '' '') ||
    die 'missing: Python 3.11 or newer. Install it, name it in PYTHON, or use a bundle with one in it'
  new_venv "$(owner "$PYTHON")"
  "${AS[@]}" "$PYTHON" -I -m venv "$ROOT/venv" || die "$PYTHON can't make a virtual environment: use a bundle"
  "${AS[@]}" nice "$ROOT/venv/bin/python" -m pip install --quiet --no-input "idle-reaper==$VERSION" ||
    die "pip could not install idle-reaper $VERSION: without internet use a bundle"
}

new_venv() {
  become "$1"
  mkdir "$ROOT/venv"
  chown "$1" "$ROOT/venv"
}

# bin/reaper is for people; bin/reaper-daemon holds the settings, which may be secret.
write_commands() {
  local who
  who=$(owner "$ROOT/venv")
  mkdir -p "$ROOT"/{bin,run,state}
  export REAPER_LISTEN=${REAPER_LISTEN:-unix:$ROOT/run/reaper.sock}
  if [ "$(id -u)" -eq 0 ]; then export REAPER_STATE=${REAPER_STATE:-$ROOT/state/journal.db}; fi
  command_file REAPER_LISTEN ${REAPER_STATE:+REAPER_STATE} >"$ROOT/bin/reaper"
  (umask 077 && command_file "${!REAPER_@}" "${!AWS_@}" "${!HTTPS_PROXY@}" "${!NO_PROXY@}" >"$ROOT/bin/reaper-daemon")
  chown "$who" "$ROOT"/{run,state,bin/reaper-daemon}
  chmod 0700 "$ROOT"/{state,bin/reaper-daemon}
  chmod 0755 "$ROOT/bin/reaper"
  if [ -n "$COMMAND" ] && { [ -L "$COMMAND" ] || [ ! -e "$COMMAND" ]; }; then
    { mkdir -p "${COMMAND%/*}" && ln -sfn "$ROOT/bin/reaper" "$COMMAND"; } || log "$COMMAND can't be made"
  fi
}

command_file() {
  echo '#!/bin/bash'
  echo 'unset PYTHONHOME PYTHONPATH'
  declare -p "$@"
  echo "exec $ROOT/venv/bin/reaper \"\$@\""
}

start_unit() {
  cat >"$UNIT" <<END
# Written by the lifecycle script of idle-reaper.
[Unit]
Description=reaper: turns off what people forgot
[Service]
Type=notify
User=$(owner "$ROOT/venv")
ExecStart=$ROOT/bin/reaper-daemon run
Restart=on-failure
RestartSec=5
RestartPreventExitStatus=78
WatchdogSec=180
TimeoutStopSec=60
NoNewPrivileges=yes
[Install]
WantedBy=multi-user.target
END
  systemctl daemon-reload
  systemctl --quiet enable "${UNIT##*/}"
  systemctl --no-block restart "${UNIT##*/}" || die "systemd can't start ${UNIT##*/}"
  log "handed to systemd; its log from here on: journalctl -u ${UNIT##*/}"
}

# Without systemd: started again, ever later where it ends early. 0: somebody asked it to stop. 78: a configuration
# that gets no better by trying again.
supervise() {
  local child='' delay=2 status started stopping=''
  trap 'stopping=yes; kill "$child" || :' TERM INT
  while :; do
    started=$SECONDS
    "${AS[@]}" "$ROOT/bin/reaper-daemon" run &
    child=$!
    log "daemon started as process $child, watched by $$"
    while :; do
      status=0
      wait "$child" || status=$?
      kill -0 "$child" 2>/dev/null || break # a signal to us ends the wait, not the daemon
    done
    if [ -n "$stopping" ] || [ "$status" -eq 0 ]; then break; fi
    if [ "$status" -eq 78 ]; then die "the configuration can't be used (see above): not started again"; fi
    if [ $((SECONDS - started)) -ge 600 ]; then delay=2; fi
    log "daemon ended with status $status; started again in $delay s"
    sleep "$delay" &
    child=$!
    wait "$child" || :
    if [ -n "$stopping" ]; then break; fi
    delay=$((delay < 150 ? delay * 2 : 300))
  done
  log 'stopped'
}

main "$@"
trap - EXIT
