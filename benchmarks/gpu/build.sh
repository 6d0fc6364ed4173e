#!/usr/bin/env bash
# Build the engines for this machine's GPU alone: benchmarks/gpu/build.sh SOURCES TARGET [part ...]
#
# SOURCES has llama.cpp/ and flash-attn/, their unpacked sources. exllamav2 and exllamav3 must be importable: their
# wheels have the sources of their kernels. TARGET gets bin/llama-server and site/, an entry for PYTHONPATH with the
# compiled modules; what is there already is not built again. Parts: exllamav2 flash_attention llama_cpp exllamav3.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
sources=$(realpath "$1")
mkdir -p "$2"/{bin,site,logs}
target=$(realpath "$2")
shift 2
parts=("$@")
[ $# -gt 0 ] || parts=(exllamav2 flash_attention llama_cpp exllamav3)

capability=$(python3 -c 'import torch; print(*torch.cuda.get_device_capability(), sep=".")')
export TORCH_CUDA_ARCH_LIST="$capability" TORCH_EXTENSIONS_DIR="$target/extensions"
export PYTHONPATH="$root:$target/site:${PYTHONPATH:-}" PYTHONUNBUFFERED=1
[ -d "$target/cuda" ] || python3 -m benchmarks.gpu.cuda_home "$target/cuda"
export CUDA_HOME="$target/cuda" PATH="$target/cuda/bin:$PATH" LIBRARY_PATH="$target/cuda/lib64"

exllamav2() { extension exllamav2; }

# Of its kernels those that a dense model of 4 bits runs: the rest takes three quarters of the time.
exllamav3() {
    [ -e "$target/site/exllamav3_ext.so" ] && return
    package=$(python3 -c 'from importlib.util import find_spec as find
print(find("exllamav3").submodule_search_locations[0])')
    mkdir -p "$target/exllamav3"
    cp -r "$package" "$target/exllamav3/"
    python3 -m benchmarks.gpu.exllamav3_subset "$target/exllamav3/exllamav3/exllamav3_ext"
    PYTHONPATH="$target/exllamav3:$PYTHONPATH" EXLLAMA_EXT_COMPRESS=0 extension exllamav3
}

# Importing the engine compiles its kernels; under the module's own name, later imports find them compiled.
extension() {
    [ -e "$target/site/$1_ext.so" ] && return
    python3 -c "import $1.ext"
    cp "$TORCH_EXTENSIONS_DIR/$1_ext/$1_ext.so" "$target/site/"
}

flash_attention() {
    [ -e "$target/site/flash_attn_2_cuda.so" ] && return
    # The models here have head sizes of 64 and 128; the image has two more.
    python3 "$root/container/exllamav2/flash_attention.py" "$sources/flash-attn" "$target/site" \
        "$target/flash-attn" --head-sizes 64 128
}

# The options are those of container/llamacpp/Dockerfile, but for the one architecture.
llama_cpp() {
    [ -e "$target/bin/llama-server" ] && return
    cmake -S "$sources/llama.cpp" -B "$target/llama.cpp" -G Ninja -DCMAKE_BUILD_TYPE=Release \
        -DBUILD_SHARED_LIBS=OFF -DGGML_NATIVE=OFF -DGGML_CUDA=ON "-DCMAKE_CUDA_ARCHITECTURES=${capability/./}-real" \
        "-DCUDAToolkit_ROOT=$CUDA_HOME" "-DCMAKE_CUDA_COMPILER=$CUDA_HOME/bin/nvcc" \
        -DGGML_CUDA_NO_VMM=ON -DGGML_CUDA_NCCL=OFF \
        -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_OPENSSL=OFF \
        -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF
    cmake --build "$target/llama.cpp" --target llama-server
    strip -o "$target/bin/llama-server" "$target/llama.cpp/bin/llama-server"
}

# All at once, what other work waits for most before the rest.
failed=0
declare -A processes
for part in "${parts[@]}"; do
    (
        [[ $part = exllamav2 || $part = flash_attention ]] || renice -n 10 "$BASHPID" >/dev/null
        started=$SECONDS
        set +e
        (set -e; "$part") >"$target/logs/$part.log" 2>&1
        status=$?
        echo "$part: exit $status, $((SECONDS - started)) s" | tee -a "$target/logs/build.log"
        exit $status
    ) &
    processes[$part]=$!
done
for part in "${parts[@]}"; do
    wait "${processes[$part]}" || failed=1
done
exit $failed
