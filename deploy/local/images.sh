# Official images in place of what is built here. Sourced after common.sh and daemon.sh, never run.
# QFLOW_STACK_IMAGES: `auto` takes them where a registry answers, `never` builds. QFLOW_STACK_MIRROR=HOST[:PORT] is asked for all of them.

# The image that compose.observability.yml names for a service, at the mirror where there is one: SERVICE
image_of() {
  local image
  image=$(awk -v of="  $1:" '$0 == of { inside = 1; next } inside && /^  [a-z]/ { exit } inside && $1 == "image:" { print $2; exit }' \
    "$root/deploy/compose.observability.yml")
  if [ -n "${QFLOW_STACK_MIRROR:-}" ]; then echo "$QFLOW_STACK_MIRROR/${image#docker.elastic.co/}"; else echo "$image"; fi
}

# Whether its registry answers within seconds, as one does that can be asked for more; on this machine as Docker does, without TLS: IMAGE
registry_answers() {
  local host=${1%%/*} scheme=https
  case $host in *.* | *:*) ;; *) host=registry-1.docker.io ;; esac
  case $host in 127.* | localhost*) scheme=http ;; esac
  case $(curl -s --max-time 5 -o /dev/null -w '%{http_code}' "$scheme://$host/v2/") in 200 | 401) ;; *) return 1 ;; esac
}

# The image that a service is run from, or nothing where it is built: SERVICE
chosen_image() {
  local image
  [ "${QFLOW_STACK_IMAGES:-auto}" != never ] || return 0
  docker version >/dev/null 2>&1 || return 0
  image=$(image_of "$1")
  if docker image inspect "$image" >/dev/null 2>&1 || { registry_answers "$image" && docker pull -q "$image" >/dev/null; }; then echo "$image"; fi
}

# Chooses for services, once for a stack's life: DIR SERVICE… ; `docker run`s of it say so by QFLOW_IMAGE_SERVICE.
choose_images() {
  local dir=$1 service
  shift
  if [ ! -e "$dir/images" ]; then
    for service in "$@"; do echo "QFLOW_IMAGE_$(tr a-z- A-Z_ <<<"$service")=$(chosen_image "$service")"; done >"$dir/images.part"
    mv "$dir/images.part" "$dir/images"
  fi
  set -a
  # shellcheck source=/dev/null
  . "$dir/images"
  set +a
}

# One container to a folder of state.
container_of() { echo "qflow-$2-$(cksum <<<"$1" | cut -d ' ' -f 1)"; } # DIR NAME

# Runs a service in a container that ends with it, its process the one that is watched: DIR NAME ARGUMENT… of `docker run`
run_image() {
  local dir=$1 name=$2 container
  shift 2
  if alive "$dir" "$name" docker; then return; fi
  container=$(container_of "$dir" "$name")
  docker rm -f "$container" >/dev/null 2>&1 || true
  start "$dir" "$name" docker run --rm --name "$container" "$@"
}

# Where it is one that runs: DIR NAME
stop_image() {
  alive "$1" "$2" docker || return 0
  stop "$1" "$2" docker
  docker rm -f "$(container_of "$1" "$2")" >/dev/null 2>&1 || true
}
