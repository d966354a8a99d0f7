# shellcheck shell=bash
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
