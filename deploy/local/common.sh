# What the scripts of this folder share. Sourced, never run.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${QFLOW_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/qflow}
mkdir -p "$cache"

say() { printf '\n== %s\n' "$*" >&2; }

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

# Installs the packages whose command is missing: `need COMMAND PACKAGE …`.
need() {
  local missing=()
  while [ $# -gt 0 ]; do
    command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] || missing+=("$2")
    shift 2
  done
  [ ${#missing[@]} -eq 0 ] && return
  say "installing ${missing[*]}"
  command -v apt-get >/dev/null || { echo "install these first: ${missing[*]}" >&2; return 1; }
  as_root env DEBIAN_FRONTEND=noninteractive sh -c "apt-get update -qq && apt-get install -y -qq ${missing[*]}" >"$cache/apt.log" 2>&1 ||
    { tail -n 5 "$cache/apt.log" >&2; return 1; }
}

# So many ports that are free, one a line: below those that the system hands out by itself, which any connection may take meanwhile, and
# each asks on where the last one ended, so that what is chosen and not yet listened on is chosen by nobody else.
free_ports() {
  python3 - "$1" "$cache/ports" <<'PY'
import fcntl, os, random, socket, sys
LOW, HIGH = 15000, 32000
wanted, held = int(sys.argv[1]), []
with os.fdopen(os.open(sys.argv[2], os.O_RDWR | os.O_CREAT, 0o644), "r+") as last:
    fcntl.flock(last, fcntl.LOCK_EX)
    told = last.read().strip()
    begin = int(told) if told.isdigit() else random.randrange(LOW, HIGH)
    for step in range(1, HIGH - LOW):
        if len(held) == wanted:
            break
        port = LOW + (begin - LOW + step) % (HIGH - LOW)
        try:
            held.append(socket.create_server(("127.0.0.1", port)))
        except OSError:
            pass
    last.seek(0)
    last.truncate()
    last.write(str(port))
print(*(one.getsockname()[1] for one in held), sep="\n")
PY
}
