#!/usr/bin/env bash
# Everything that is proven and measured on a GPU: benchmarks/gpu/run.sh GGUF BUILT WORK RESULTS [step ...]
#
# GGUF is SmolLM2-135M-Instruct's file, BUILT what build.sh made, WORK a folder for models, RESULTS one for what the
# steps find. Steps: models contract greedy throughput memory products profile first table. EXL2_MEASUREMENT names a
# measurement.json of an earlier conversion, which saves half of its time.
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
gguf=$(realpath "$1")
built=$(realpath "$2")
mkdir -p "$3/gguf" "$4"
work=$(realpath "$3")
results=$(realpath "$4")
shift 4
steps=("$@")
[ $# -gt 0 ] || steps=(models contract greedy throughput memory products profile first table)

cd "$root"
export PYTHONPATH="$root:$root/container/sagemaker:$root/container/exllamav2:$root/tools:$built/site:${PYTHONPATH:-}"
export PATH="$built/bin:$PATH"
export PYTHONUNBUFFERED=1 BENCHMARK_MODELS="$work" BENCHMARK_LOGS="$results/containers.log"
calibration=$(python3 -c 'from importlib.util import find_spec as find
print(find("exllamav2").submodule_search_locations[0])')/conversion/standard_cal_data
bits=4.0

models() {
    cp "$gguf" "$work/gguf/q4_1.gguf"
    python3 -m benchmarks.gpu.requantise "$gguf" "$work/gguf" BF16 Q8_0 Q4_0 &
    python3 -m benchmarks.gpu.reference "$gguf" "$work/bf16"
    python3 -m benchmarks.gpu.gptq "$work/bf16" "$work/gptq" "$calibration/c4.utf8" "$calibration/wiki.utf8" &
    mkdir -p "$work/exl2-work" "$work/exl2"
    python3 -m exllamav2.conversion.convert_exl2 -i "$work/bf16" -o "$work/exl2-work" -cf "$work/exl2" -b "$bits" \
        ${EXL2_MEASUREMENT:+-m "$EXL2_MEASUREMENT"}
    python3 -m benchmarks.gpu.padded "$work/bf16" "$work/wide"
    mkdir -p "$work/exl3-work"
    python3 -m exllamav3.conversion.convert_model -i "$work/wide" -w "$work/exl3-work" -o "$work/exl3" -b "$bits" -cr 32
    wait
}

contract() {
    local starter
    for starter in llama_cpp exl2 gptq exl3; do
        CONTRACT_STARTER=benchmarks.gpu.starters:$starter python3 -m pytest -q -rfEs \
            -c tests/container/contract/contract.ini tests/container/contract >"$results/gpu-contract-$starter.txt" 2>&1
        echo "$starter: $(tail -n 1 "$results/gpu-contract-$starter.txt")"
    done
}

greedy() {
    python3 -m benchmarks.gpu.greedy "$work" "$results/gpu-greedy.json" \
        "GGUF BF16=llama.cpp:gguf/bf16.gguf" "GGUF Q8_0=llama.cpp:gguf/q8_0.gguf" \
        "GGUF Q4_1 (as shipped)=llama.cpp:gguf/q4_1.gguf" "GGUF Q4_0=llama.cpp:gguf/q4_0.gguf" \
        "BF16 in ExLlamaV2=exllamav2:bf16" "EXL2 $bits bpw=exllamav2:exl2" "GPTQ 4 bit=exllamav2:gptq" \
        "EXL2 $bits bpw, Q8 cache=exllamav2:exl2:q8_0" "EXL2 $bits bpw, Q4 cache=exllamav2:exl2:q4_0" \
        "EXL3 $bits bpw=exllamav2:exl3" "EXL3 $bits bpw, Q8 cache=exllamav2:exl3:q8_0"
}

throughput() {
    python3 -m benchmarks.gpu.throughput "$work" "$results/gpu-throughput.json" \
        "SmolLM2-135M Q4_1=llama.cpp:gguf/q4_1.gguf" "SmolLM2-135M EXL2=exllamav2:exl2" \
        "SmolLM2-135M GPTQ=exllamav2:gptq"
}

memory() { python3 -m benchmarks.gpu.memory "$work" "$results/gpu-memory.json" --alone; }

products() {
    local model
    for model in gptq exl2; do
        python3 -m benchmarks.gpu.products "$work/$model" "$results/gpu-products-$model.json"
    done
}

profile() {
    local model
    for model in gptq exl2; do
        python3 -m benchmarks.gpu.decode_profile "$work/$model" "$results/gpu-decode-$model.json"
        python3 -m benchmarks.gpu.decode_profile "$work/$model" "$results/gpu-decode-$model-plain.json" --plain
    done
}

first() { python3 -m benchmarks.gpu.first_requests "$work/exl3" "$results/gpu-first-requests.json"; }

table() { python3 -m benchmarks.gpu.table "$work/table" "$results/gpu-table.json"; }

for step in "${steps[@]}"; do
    started=$SECONDS
    "$step" 2>&1 | tee "$results/$step.log"
    echo "== $step: $((SECONDS - started)) s"
done
