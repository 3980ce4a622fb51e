"""Upstream servers that speak a provider's real wire format in front of a real llama.cpp server."""
