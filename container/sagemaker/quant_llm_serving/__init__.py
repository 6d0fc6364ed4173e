"""The container's entrypoint: one contract for SageMaker over every engine.

`python3 -m quant_llm_serving llama.cpp serve` chooses the model, starts the engine as a child on a socket of
its own, and puts SageMaker's and OpenAI's routes in front of it on port 8080.
"""
