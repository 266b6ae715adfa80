"""Segmenter on plain vision transformers: encoder, decoders, auxiliary heads, building and loading."""
