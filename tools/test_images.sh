#!/usr/bin/env bash
# Builds the images for CPUs from their own Dockerfiles, without a Docker daemon, and runs the contract suite and the
# images' own tests against the containers:
#
#   tools/test_images.sh PYTHON [COMMAND...]
#
# PYTHON has the test tools. COMMAND runs first, and the images are built beside it, at the lowest priority: in what it
# leaves of the machine. It takes root, Debian's packages below, and the way to Debian's and Python's registries.
# Ends with 69 where one of them is missing. Everything lies in a folder that is removed at the end;
# IMAGES_HOME=<folder> is kept instead, and what it holds is not built again.
#
# What differs from the images of a deploy: CUDA=OFF, llama.cpp's C++ compiled with -O1, Debian in the place of Ubuntu,
# podman in the place of Docker, and the source of llama.cpp, whose hash the Dockerfile checks, from PyPI in the place of
# GitHub. Of the images of quantise jobs it is EXL2's, which needs no llama.cpp.
set -euo pipefail
python=$(realpath --no-symlinks "$1")
shift
command=("$@")
cd "$(dirname "$0")/.."

say() { echo "images: $* (${SECONDS} s)" >&2; }

missing=()
[[ $EUID -eq 0 ]] || missing+=("root")
for program in podman runc mmdebstrap iptables; do
    command -v "$program" >/dev/null || missing+=("$program")
done
for helper in netavark aardvark-dns; do
    [[ -x /usr/lib/podman/$helper ]] || missing+=("$helper")
done
if [[ ${#missing[@]} -gt 0 ]]; then
    echo "images: not built, this needs ${missing[*]} (Debian: apt-get install podman runc netavark aardvark-dns" \
        "iptables mmdebstrap)" >&2
    exit 69
fi

home=${IMAGES_HOME:-$(mktemp --directory --tmpdir=/var/tmp quantllm-images.XXXXXX)}
mkdir -p "$home"
home=$(realpath "$home")
export CONTAINERS_STORAGE_CONF=$home/storage.conf CONTAINERS_CONF=$home/containers.conf
cat >"$CONTAINERS_STORAGE_CONF" <<EOF
[storage]
driver = "overlay"
graphroot = "$home/graph"
runroot = "$home/run"
EOF
# crun fails on hybrid control groups, and podman's own limits are above what a container may set.
cat >"$CONTAINERS_CONF" <<EOF
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "$home/libpod"
[network]
network_backend = "netavark"
network_config_dir = "$home/networks"
EOF

# A function or a program in the background, as a process group: so that all of it can be ended.
beside() {
    set -m
    "$@" &
    set +m
    group=$!
}

network=quantllm-isolated
group=
cleanup() {
    [[ -z $group ]] || kill -- "-$group" 2>/dev/null || true
    wait
    podman rm --force --all --time 0 >/dev/null 2>&1 || true
    podman network rm --force "$network" "$network-2" >/dev/null 2>&1 || true
    if [[ -z ${IMAGES_HOME:-} ]]; then
        awk -v "home=$home/" 'index($2, home) == 1 {print $2}' /proc/mounts | sort --reverse |
            xargs --no-run-if-empty umount
        rm -rf "$home"
    fi
}
trap cleanup EXIT

# How this machine reaches the registries is none of the Dockerfiles' business.
own=()
[[ -f /etc/pip.conf ]] && own+=(--volume=/etc/pip.conf:/etc/pip.conf:ro)
certificates=/etc/ssl/certs/ca-certificates.crt
[[ -f $certificates ]] && own+=("--volume=$certificates:$certificates:ro")

base=localhost/quantllm/base:bookworm
make_base() {
    podman image exists "$base" && return
    say "base image"
    mmdebstrap --quiet --variant=minbase --components=main --include=ca-certificates bookworm "$home/base.tar"
    podman import --quiet --change 'CMD ["/bin/bash"]' "$home/base.tar" "$base" >/dev/null
    rm "$home/base.tar"
}

source=$home/xllamacpp/thirdparty/llama.cpp
fetch_source() {
    [[ -d $source ]] && return
    say "source of llama.cpp"
    local archive
    archive=$("$python" tools/fetch_sdist.py tools/llama_cpp_source.txt "$home/download")
    mkdir -p "$home/xllamacpp"
    tar --extract --gzip --strip-components=1 --directory="$home/xllamacpp" --file "$archive"
    rm -r "$home/download"
}

build() {
    local name=$1 folder=$2
    shift 2
    say "image $name"
    podman build --quiet --isolation chroot --format docker --layers "${own[@]}" \
        --build-arg CUDA=OFF --build-arg "BUILD_IMAGE=$base" --build-arg "BASE_IMAGE=$base" "$@" \
        --file "container/$folder/Dockerfile" --tag "localhost/quantllm/$name" container >"$home/$name.log" 2>&1 || {
        tail -n 40 "$home/$name.log" >&2
        say "the build of $name failed"
        return 1
    }
    say "image $name is built"
}

# One of them waits for registries while the other one compiles.
build_both() {
    [[ ${#command[@]} -eq 0 ]] || renice --priority 19 --pid "$BASHPID" >/dev/null
    fetch_source &
    local fetching=$!
    make_base
    { build exllamav2 exllamav2 && build quantise-exl2 quantise --build-arg METHOD=exl2; } &
    local building=$!
    wait "$fetching"
    build llama-cpp llamacpp --volume "$source:/source:ro" --build-arg LLAMA_CPP_SOURCE=/source \
        --build-arg CXX_OPTIMISATION=-O1
    wait "$building"
}
beside build_both
[[ ${#command[@]} -eq 0 ]] || "${command[@]}"
say "waiting for the images"
wait "$group"

for name in "$network" "$network-2"; do
    podman network create --internal "$name" >/dev/null
done
export QUANTLLM_IMAGES=1
contract() { CONTRACT_STARTER="tests.images.podman:$1" "$python" -m pytest -q tests/container/contract; }
test_the_rest() {
    export QUANTLLM_IMAGES_NETWORK=$network-2  # why: tests/images/podman.py
    contract exllamav2
    "$python" -m pytest -q tests/images
}
say "contract of exllamav2 and tests of the images, beside the contract of llama_cpp"
beside test_the_rest >"$home/rest.log" 2>&1
contract llama_cpp
say "exllamav2 and the images"
tail --pid="$group" --lines=+1 --follow "$home/rest.log"
wait "$group"
say "done"
