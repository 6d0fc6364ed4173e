"""An OpenAI server on ExLlamaV2's and ExLlamaV3's generators, for models in EXL2, GPTQ and EXL3.

`python3 -m quant_llm_exllama --model <folder> --name <name> --socket <path>` loads the model and serves it on
a Unix socket. Its options are environment variables, which `quant_llm_serving.exllama_options` reads.
"""
