"""Asking a vision model behind an endpoint that speaks OpenAI's HTTP API, as OpenAI, vLLM, Ollama and llama.cpp do."""
